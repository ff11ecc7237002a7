//! Pull secrets: the registries that one has entries for, and copies of single entries. Only this module reads credentials; none is
//! logged, cached or part of an error.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_shared::api::annotations::OWNED_BY;
use cnbi_shared::credentials;
use cnbi_shared::facts::{Fact, PullSecret};
use cnbi_shared::grammar::image::ImageReference;
use http::HeaderValue;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::{Map, Value, json};

use crate::plan::action::NamespacedName;
use crate::reconcile::apply::FIELD_MANAGER;
use crate::reconcile::error::{Error, ErrorClass};
use crate::reconcile::pending_writes::CopyMetadata;

/// Annotation of a copy: the resource version of the original.
const SOURCE_VERSION: &str = "meteor.zone/source-version";

fn api(client: &Client, namespace: &str) -> Api<Secret> {
    Api::namespaced(client.clone(), namespace)
}

/// The registries of a pull secret, and its resource version.
pub async fn read(client: &Client, key: &NamespacedName) -> Result<(Fact<PullSecret>, Option<String>), Error> {
    let Some(secret) = api(client, &key.namespace).get_opt(&key.name).await? else {
        return Ok((Fact::Absent, None));
    };
    let registries = PullSecret::parse(secret.type_.as_deref().unwrap_or_default(), content(&secret));
    Ok((Fact::Known(registries), secret.metadata.resource_version))
}

/// The metadata of a copy, if it exists.
pub async fn read_copy(client: &Client, key: &NamespacedName) -> Result<Option<CopyMetadata>, Error> {
    let found = api(client, &key.namespace).get_metadata_opt(&key.name).await?;
    Ok(found.map(|found| copied(found.metadata)))
}

/// The `Authorization` header from the entry for the image. `None` if the Secret does not exist or has no entry with user name and
/// password.
pub async fn authorization(
    client: &Client,
    key: &NamespacedName,
    image: &ImageReference,
) -> Result<Option<HeaderValue>, Error> {
    let secret = api(client, &key.namespace).get_opt(&key.name).await?;
    Ok(secret.and_then(|secret| basic(&only(&secret, image)?)))
}

/// The header from a `.dockerconfigjson` with one entry.
fn basic(config: &[u8]) -> Option<HeaderValue> {
    let config: Value = serde_json::from_slice(config).ok()?;
    let entry = config["auths"].as_object()?.values().next()?;
    let text = |key: &str| entry[key].as_str().filter(|text| !text.is_empty());
    let encoded = match (text("auth"), text("username"), text("password")) {
        (Some(auth), _, _) => auth.to_owned(),
        (None, Some(user), Some(password)) => STANDARD.encode(format!("{user}:{password}")),
        _ => return None,
    };
    let is_pair = STANDARD.decode(&encoded).is_ok_and(|pair| pair.contains(&b':'));
    let mut value = HeaderValue::from_str(&format!("Basic {encoded}"))
        .ok()
        .filter(|_| is_pair)?;
    value.set_sensitive(true);
    Some(value)
}

/// Copies only the entry for the registry of the image. `None` if the Secret has no such entry.
pub async fn copy(
    client: &Client,
    from: &NamespacedName,
    to: &NamespacedName,
    image: &str,
    labels: &BTreeMap<String, String>,
    owner: &NamespacedName,
) -> Result<Option<CopyMetadata>, Error> {
    let Some(secret) = api(client, &from.namespace).get_opt(&from.name).await? else {
        return Ok(None);
    };
    let Some(entry) = ImageReference::parse(image)
        .ok()
        .and_then(|image| only(&secret, &image))
    else {
        return Ok(None);
    };
    let version = secret.metadata.resource_version.unwrap_or_default();
    let body = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": to.name, "namespace": to.namespace, "labels": labels,
            "annotations": { OWNED_BY: owner.to_string(), SOURCE_VERSION: version },
        },
        "type": PullSecret::DOCKER_CONFIG_JSON,
        "data": { ".dockerconfigjson": ByteString(entry) },
    });
    // Without force: a Secret of another owner is not overwritten.
    let params = PatchParams::apply(FIELD_MANAGER);
    let copy = api(client, &to.namespace)
        .patch_metadata(&to.name, &params, &Patch::Apply(&body))
        .await?;
    Ok(Some(copied(copy.metadata)))
}

/// Deletes a copy.
pub async fn delete(client: &Client, key: &NamespacedName, uid: Option<String>) -> Result<(), Error> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid,
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match api(client, &key.namespace)
        .delete(&key.name, &params)
        .await
        .map_err(Error::from)
    {
        Err(error) if error.class() != ErrorClass::Gone => Err(error),
        _ => Ok(()),
    }
}

fn copied(metadata: ObjectMeta) -> CopyMetadata {
    CopyMetadata {
        uid: metadata.uid,
        version: metadata.annotations.and_then(|mut all| all.remove(SOURCE_VERSION)),
    }
}

fn content(secret: &Secret) -> Option<&[u8]> {
    let key = PullSecret::data_key(secret.type_.as_deref()?)?;
    Some(&secret.data.as_ref()?.get(key)?.0)
}

/// A `.dockerconfigjson` with only the entry for the image.
fn only(secret: &Secret, image: &ImageReference) -> Option<Vec<u8>> {
    let is_json = secret.type_.as_deref() == Some(PullSecret::DOCKER_CONFIG_JSON);
    let mut content: Value = serde_json::from_slice(content(secret)?).ok()?;
    let entries = if is_json {
        content.get_mut("auths")?
    } else {
        &mut content
    };
    let entries = entries.as_object_mut()?;
    let names: Vec<String> = entries.keys().cloned().collect();
    let chosen = credentials::best_entry(&names, image)?;
    let (name, credential) = entries.remove_entry(chosen)?;
    serde_json::to_vec(&json!({ "auths": Map::from_iter([(name, credential)]) })).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(type_: &str, key: &str, content: &Value) -> Secret {
        Secret {
            type_: Some(type_.to_owned()),
            data: Some(BTreeMap::from([(
                key.to_owned(),
                ByteString(content.to_string().into_bytes()),
            )])),
            ..Secret::default()
        }
    }

    #[test]
    fn an_entry_with_user_name_and_password_becomes_a_header() {
        let basic_of = |entry: &Value| basic(json!({"auths": {"quay.io": entry}}).to_string().as_bytes());
        for entry in [
            json!({"auth": "YTpi"}),
            json!({"username": "a", "password": "b"}),
            json!({"auth": "YTpi", "username": "c", "password": "d"}),
        ] {
            let value = basic_of(&entry).unwrap();
            assert_eq!(value, "Basic YTpi", "{entry}");
            assert!(value.is_sensitive());
        }
        for entry in [
            json!({}),
            json!({"auth": "!"}),
            json!({"auth": "YQ=="}),
            json!({"username": "a"}),
            json!(7),
        ] {
            assert_eq!(basic_of(&entry), None, "{entry}");
        }
    }

    #[test]
    fn only_the_entry_for_the_image_is_copied() {
        let entries = json!({"quay.io": {"auth": "cXVheQ=="}, "ghcr.io": {"auth": "Z2hjcg=="}});
        let image = ImageReference::parse("quay.io/a/b:v1").unwrap();
        for secret in [
            secret(
                PullSecret::DOCKER_CONFIG_JSON,
                ".dockerconfigjson",
                &json!({"auths": entries, "credHelpers": {"x": "y"}}),
            ),
            secret(PullSecret::DOCKER_CFG, ".dockercfg", &entries),
        ] {
            let only: Value = serde_json::from_slice(&only(&secret, &image).unwrap()).unwrap();
            assert_eq!(only, json!({"auths": {"quay.io": {"auth": "cXVheQ=="}}}));
        }
        let other = ImageReference::parse("docker.io/a/b:v1").unwrap();
        assert_eq!(
            only(&secret(PullSecret::DOCKER_CFG, ".dockercfg", &entries), &other),
            None
        );
        assert_eq!(only(&secret("Opaque", ".dockercfg", &entries), &image), None);
    }
}
