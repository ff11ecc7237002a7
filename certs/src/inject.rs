//! Reads the `caBundle` of webhook configurations, and writes it by server-side apply.
//!
//! The field manager owns only `caBundle`; all other fields stay with the installer. Each apply carries the
//! resourceVersion that the bundle was derived from.

use std::fmt::Debug;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{GetParams, Patch, PatchParams};
use kube::client::Body;
use kube::core::{Request, Status};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::deadline::in_time;
use crate::names::Names;
use crate::published::{Configuration, ConfigurationState, Entry, Kind, Published};
use crate::rotator::RotationError;

/// The field manager under which `caBundle` is written.
pub const FIELD_MANAGER: &str = "cnbi-ca-bundle";

/// Reads and writes the configurations of one installation.
#[derive(Clone)]
pub(crate) struct Injector {
    mutating: Api<MutatingWebhookConfiguration>,
    validating: Api<ValidatingWebhookConfiguration>,
    names: Names,
}

impl Injector {
    pub(crate) fn new(client: Client, names: &Names) -> Self {
        Self {
            mutating: Api::all(client.clone()),
            validating: Api::all(client),
            names: names.clone(),
        }
    }

    /// Returns the published configurations, the API server's clock and the first error. A configuration that cannot be read
    /// is [`ConfigurationState::Unreadable`].
    pub(crate) async fn read(&self) -> (Published, Option<Timestamp>, Option<RotationError>) {
        let mut clock = None;
        let mut failure = None;
        let mut configurations = Vec::new();
        for name in &self.names.mutating {
            let read = in_time(get(&self.mutating, name, &mut clock)).await.map(|found| {
                found.map(|it| {
                    let webhooks = it.webhooks.unwrap_or_default();
                    self.seen(
                        it.metadata,
                        webhooks.into_iter().map(|entry| (entry.name, entry.client_config)),
                    )
                })
            });
            configurations.push(configuration(Kind::Mutating, name, read, &mut failure));
        }
        for name in &self.names.validating {
            let read = in_time(get(&self.validating, name, &mut clock)).await.map(|found| {
                found.map(|it| {
                    let webhooks = it.webhooks.unwrap_or_default();
                    self.seen(
                        it.metadata,
                        webhooks.into_iter().map(|entry| (entry.name, entry.client_config)),
                    )
                })
            });
            configurations.push(configuration(Kind::Validating, name, read, &mut failure));
        }
        (Published { configurations }, clock, failure)
    }

    /// Writes the bundle into every target and returns the first error.
    pub(crate) async fn publish(&self, bundle: &Bundle, targets: &[Configuration]) -> Result<(), RotationError> {
        let mut outcome = Ok(());
        for target in targets {
            let written = match target.kind {
                Kind::Mutating => apply(&self.mutating, target, bundle).await,
                Kind::Validating => apply(&self.validating, target, bundle).await,
            };
            outcome = outcome.and(written);
        }
        outcome
    }

    fn seen(
        &self,
        metadata: ObjectMeta,
        webhooks: impl Iterator<Item = (String, WebhookClientConfig)>,
    ) -> ConfigurationState {
        let entries = webhooks
            .filter(|(_, client)| self.is_ours(client))
            .map(|(name, client)| Entry {
                name,
                ca_bundle: client.ca_bundle.unwrap_or_default().0,
            })
            .collect();
        ConfigurationState::Found {
            resource_version: metadata.resource_version.unwrap_or_default(),
            entries,
        }
    }

    /// Entries that name another Service are not ours. An entry with a URL is, because the configuration was passed to us
    /// by name.
    fn is_ours(&self, client: &WebhookClientConfig) -> bool {
        client
            .service
            .as_ref()
            .is_none_or(|service| service.name == self.names.service && service.namespace == self.names.namespace)
    }
}

/// Reads an object if it exists, and the API server's clock from the `Date` header (RFC 9110, 6.6.1).
async fn get<K>(api: &Api<K>, name: &str, clock: &mut Option<Timestamp>) -> kube::Result<Option<K>>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let request = Request::new(api.resource_url()).get(name, &GetParams::default());
    let request = request.map_err(kube::Error::BuildRequest)?;
    let answer = api.clone().into_client().send(request.map(Body::from)).await?;
    let status = answer.status();
    // A server that answers 401 may be another cluster's, or its clock may be so wrong that our token is not valid.
    if status.as_u16() != 401 {
        *clock = answer
            .headers()
            .get("date")
            .and_then(|date| rfc2822::parse(date.to_str().ok()?).ok())
            .map(|date| date.timestamp())
            .or(*clock);
    }
    let body = answer.into_body().collect_bytes().await?;
    if status.is_success() {
        return serde_json::from_slice(&body).map(Some).map_err(kube::Error::SerdeError);
    }
    if status.as_u16() == 404 {
        return Ok(None);
    }
    let refusal = serde_json::from_slice(&body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(&body);
        Status::failure(text.trim(), "not a Status").with_code(status.as_u16())
    });
    Err(kube::Error::Api(refusal.boxed()))
}

fn configuration(
    kind: Kind,
    name: &str,
    read: Result<Option<ConfigurationState>, RotationError>,
    failure: &mut Option<RotationError>,
) -> Configuration {
    let seen = match read {
        Ok(found) => found.unwrap_or(ConfigurationState::Missing),
        Err(error) => {
            failure.get_or_insert(error);
            ConfigurationState::Unreadable
        }
    };
    Configuration {
        kind,
        name: name.to_owned(),
        seen,
    }
}

async fn apply<K>(api: &Api<K>, target: &Configuration, bundle: &Bundle) -> Result<(), RotationError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let Some(body) = application(target, bundle, &K::kind(&()), &K::api_version(&())) else {
        return Ok(());
    };
    let params = PatchParams::apply(FIELD_MANAGER).force();
    in_time(api.patch(&target.name, &params, &Patch::Apply(&body))).await?;
    Ok(())
}

/// The apply configuration: the entries' names, the bundle, and the resourceVersion it is based on.
fn application(target: &Configuration, bundle: &Bundle, kind: &str, api_version: &str) -> Option<Value> {
    use base64::Engine;
    let ConfigurationState::Found {
        resource_version,
        entries,
    } = &target.seen
    else {
        return None;
    };
    let pem = base64::engine::general_purpose::STANDARD.encode(bundle.to_pem());
    let webhooks: Vec<_> = entries
        .iter()
        .map(|entry| json!({ "name": entry.name, "clientConfig": { "caBundle": pem } }))
        .collect();
    Some(json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": { "name": target.name, "resourceVersion": resource_version },
        "webhooks": webhooks,
    }))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use k8s_openapi::ByteString;
    use k8s_openapi::api::admissionregistration::v1::ServiceReference;

    use super::*;
    use crate::testing::{authority, names};

    fn entry(name: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            ca_bundle: Vec::new(),
        }
    }

    fn found(entries: &[&str]) -> Configuration {
        let seen = ConfigurationState::Found {
            resource_version: "17".to_owned(),
            entries: entries.iter().map(|name| entry(name)).collect(),
        };
        Configuration {
            kind: Kind::Mutating,
            name: "hook".to_owned(),
            seen,
        }
    }

    #[test]
    fn an_apply_contains_only_the_bundle_and_the_resource_version() {
        let bundle = Bundle::of([authority(0).certificate().clone()]);
        let pem = base64::engine::general_purpose::STANDARD.encode(bundle.to_pem());
        let body = application(
            &found(&["a.hook", "b.hook"]),
            &bundle,
            "MutatingWebhookConfiguration",
            "v1",
        )
        .unwrap();
        assert_eq!(
            body,
            json!({
                "apiVersion": "v1",
                "kind": "MutatingWebhookConfiguration",
                "metadata": { "name": "hook", "resourceVersion": "17" },
                "webhooks": [
                    { "name": "a.hook", "clientConfig": { "caBundle": pem } },
                    { "name": "b.hook", "clientConfig": { "caBundle": pem } },
                ],
            })
        );
    }

    #[test]
    fn a_configuration_that_was_not_read_is_not_written() {
        for seen in [ConfigurationState::Missing, ConfigurationState::Unreadable] {
            let target = Configuration { seen, ..found(&[]) };
            assert_eq!(application(&target, &Bundle::default(), "kind", "v1"), None);
        }
    }

    #[tokio::test]
    async fn entries_of_other_services_are_ignored() {
        let injector = Injector::new(unused_client(), &names());
        let client = |service: Option<(&str, &str)>, bundle: &[u8]| WebhookClientConfig {
            ca_bundle: (!bundle.is_empty()).then(|| ByteString(bundle.to_vec())),
            service: service.map(|(namespace, name)| ServiceReference {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                ..ServiceReference::default()
            }),
            url: service.is_none().then(|| "https://127.0.0.1:8443/mutate".to_owned()),
        };
        let webhooks = [
            ("ours", client(Some(("system", "hook")), b"pem")),
            ("elsewhere", client(Some(("other", "hook")), b"pem")),
            ("stranger", client(Some(("system", "other")), b"pem")),
            ("url", client(None, b"")),
        ];
        let metadata = ObjectMeta {
            resource_version: Some("3".to_owned()),
            ..ObjectMeta::default()
        };
        let seen = injector.seen(
            metadata,
            webhooks.into_iter().map(|(name, client)| (name.to_owned(), client)),
        );
        let ours = Entry {
            ca_bundle: b"pem".to_vec(),
            ..entry("ours")
        };
        let expected = ConfigurationState::Found {
            resource_version: "3".to_owned(),
            entries: vec![ours, entry("url")],
        };
        assert_eq!(seen, expected);
    }

    #[test]
    fn the_first_read_error_is_reported_and_the_state_is_unreadable() {
        let mut failure = None;
        let one = configuration(Kind::Mutating, "one", Err(RotationError::Deadline), &mut failure);
        let two = configuration(Kind::Validating, "two", Err(RotationError::Conflict), &mut failure);
        let three = configuration(Kind::Validating, "three", Ok(None), &mut failure);
        assert_eq!(
            [one.seen, two.seen, three.seen],
            [
                ConfigurationState::Unreadable,
                ConfigurationState::Unreadable,
                ConfigurationState::Missing
            ]
        );
        assert!(matches!(failure, Some(RotationError::Deadline)));
    }

    /// A client that is never used.
    fn unused_client() -> Client {
        Client::try_from(kube::Config::new("http://127.0.0.1:9".parse().unwrap())).unwrap()
    }
}
