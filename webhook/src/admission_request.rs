//! Parses an AdmissionReview (`admission.k8s.io/v1`) into an [`AdmissionRequest`].
//!
//! Fields that no rule reads are skipped, not stored. A review of another resource than the webhook is registered for is an
//! [`InvalidReview`]; errors inside the object are found by the rules.

mod invalid_review;

use std::borrow::Cow;
use std::collections::BTreeMap;

use cnbi_shared::admission_input::AdmissionInput;
use cnbi_shared::api::{GROUP, KIND, UnvalidatedImage, VERSION};
use cnbi_shared::verdict::printable;
use serde::Deserialize;

pub use invalid_review::InvalidReview;

/// `apiVersion` of a review.
pub const API_VERSION: &str = "admission.k8s.io/v1";
/// `kind` of a review.
pub const REVIEW: &str = "AdmissionReview";
/// Plural name of the resource, as in a URL.
pub const RESOURCE: &str = "customnbimages";

/// Most characters of the caller's text in an error.
const SHOWN: usize = 200;

/// `request` of a review, before it is checked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "O: Deserialize<'de>"))]
struct UncheckedRequest<'a, O> {
    #[serde(borrow)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    kind: GroupVersionKind<'a>,
    #[serde(borrow)]
    resource: GroupVersionResource<'a>,
    #[serde(borrow, default)]
    sub_resource: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    namespace: Cow<'a, str>,
    operation: Operation,
    #[serde(default)]
    user_info: UserInfo,
    object: Option<O>,
    old_object: Option<O>,
}

#[derive(Debug, Deserialize)]
struct GroupVersionKind<'a> {
    #[serde(borrow, default)]
    group: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
struct GroupVersionResource<'a> {
    #[serde(borrow, default)]
    group: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow)]
    resource: Cow<'a, str>,
}

/// The operation that is requested on the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// Create an object.
    Create,
    /// Replace or patch an object.
    Update,
    /// Delete an object; the webhook is not registered for it.
    Delete,
    /// Connect to a subresource; the webhook is not registered for it.
    Connect,
}

impl Operation {
    /// Its name in a review.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// The user who makes the request (`authentication.k8s.io/v1` UserInfo).
#[derive(Clone, Debug, Default, Deserialize)]
pub struct UserInfo {
    /// Name of the user.
    #[serde(default)]
    pub username: String,
    /// Identifier that is unique across time, if the authenticator has one.
    #[serde(default)]
    pub uid: Option<String>,
    /// Groups of the user.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
    /// Further attributes from the authenticator, for the authorizer.
    #[serde(default)]
    pub extra: Option<BTreeMap<String, Vec<String>>>,
}

impl UserInfo {
    /// The name; `None` if it is empty.
    pub fn name(&self) -> Option<&str> {
        Some(self.username.as_str()).filter(|name| !name.is_empty())
    }
}

/// A resource that a webhook is registered for.
struct RegisteredResource {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    resource: &'static str,
    title: &'static str,
}

const CUSTOM_NB_IMAGE: RegisteredResource = RegisteredResource {
    group: GROUP,
    version: VERSION,
    kind: KIND,
    resource: RESOURCE,
    title: "customnbimages.v1alpha1.meteor.zone",
};

const CONFIG_MAP: RegisteredResource = RegisteredResource {
    group: "",
    version: "v1",
    kind: "ConfigMap",
    resource: "configmaps",
    title: "configmaps.v1",
};

/// A request to create or update one object, for a resource that the webhook is registered for.
#[derive(Debug)]
pub struct AdmissionRequest<'a, O = UnvalidatedImage> {
    /// Identifies the review; the response repeats it.
    pub uid: Cow<'a, str>,
    /// Name of the object; empty if the API server is to generate one.
    pub name: Cow<'a, str>,
    /// Namespace of the object.
    pub namespace: Cow<'a, str>,
    /// Create or update.
    pub operation: Operation,
    /// The user who makes the request.
    pub user: UserInfo,
    /// The object to store.
    pub object: O,
    /// On an update, the object that is stored now.
    pub old: Option<O>,
}

impl AdmissionRequest<'_> {
    /// The input of the rules.
    pub fn input(&self) -> AdmissionInput<'_> {
        match &self.old {
            Some(old) => AdmissionInput::update(&self.object, old),
            None => AdmissionInput::create(&self.object),
        }
    }
}

/// The part of a ConfigMap that holds a configuration.
#[derive(Debug, Deserialize)]
pub struct ConfigMap<'a> {
    /// `data`
    #[serde(borrow, default)]
    pub data: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

/// Parses a review of a `CustomNBImage`.
pub fn parse(body: &[u8]) -> Result<AdmissionRequest<'_>, InvalidReview> {
    let request = parse_review::<UnvalidatedImage>(body, &CUSTOM_NB_IMAGE)?;
    for image in std::iter::once(&request.object).chain(&request.old) {
        if !image.is_ours() {
            return Err(InvalidReview::AnotherKind {
                expected: CUSTOM_NB_IMAGE.title,
                found: "an object with another apiVersion or kind".to_owned(),
            });
        }
    }
    Ok(request)
}

/// Parses a review of a ConfigMap.
pub fn parse_config_map(body: &[u8]) -> Result<AdmissionRequest<'_, ConfigMap<'_>>, InvalidReview> {
    parse_review(body, &CONFIG_MAP)
}

fn parse_review<'a, O: Deserialize<'a>>(
    body: &'a [u8],
    registered: &RegisteredResource,
) -> Result<AdmissionRequest<'a, O>, InvalidReview> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", bound(deserialize = "O: Deserialize<'de>"))]
    struct Review<'a, O> {
        #[serde(borrow, default)]
        api_version: Cow<'a, str>,
        #[serde(borrow, default)]
        kind: Cow<'a, str>,
        #[serde(borrow)]
        request: Option<UncheckedRequest<'a, O>>,
    }
    if body.is_empty() {
        return Err(InvalidReview::Empty);
    }
    // Checking the whole body for UTF-8 costs less than checking each string. If it is not UTF-8, `from_slice` reports where.
    let review: Review<'a, O> = match std::str::from_utf8(body) {
        Ok(text) => serde_json::from_str(text)?,
        Err(_) => serde_json::from_slice(body)?,
    };
    if review.api_version != API_VERSION || review.kind != REVIEW {
        let found = format!("{} {}", review.api_version, review.kind);
        return Err(InvalidReview::NotAReview(format!(
            "it is \"{}\"",
            printable(found.trim(), SHOWN)
        )));
    }
    let request = review.request.ok_or(InvalidReview::Missing("request"))?;
    request.check(registered)?;
    let object = request.object.ok_or(InvalidReview::Missing("request.object"))?;
    let old = match request.operation {
        Operation::Update => Some(request.old_object.ok_or(InvalidReview::Missing("request.oldObject"))?),
        _ => None,
    };
    Ok(AdmissionRequest {
        uid: request.uid,
        name: request.name,
        namespace: request.namespace,
        operation: request.operation,
        user: request.user_info,
        object,
        old,
    })
}

impl<O> UncheckedRequest<'_, O> {
    fn check(&self, registered: &RegisteredResource) -> Result<(), InvalidReview> {
        let GroupVersionKind { group, version, kind } = &self.kind;
        let is_kind = group == registered.group && version == registered.version && kind == registered.kind;
        let GroupVersionResource {
            group,
            version,
            resource,
        } = &self.resource;
        let is_resource = group == registered.group && version == registered.version && resource == registered.resource;
        if !is_kind || !is_resource || !self.sub_resource.is_empty() {
            let slash = if self.sub_resource.is_empty() { "" } else { "/" };
            let found = format!(
                "{resource}{slash}{}.{version}.{group} ({})",
                self.sub_resource, self.kind.kind
            );
            return Err(InvalidReview::AnotherKind {
                expected: registered.title,
                found: printable(&found, SHOWN),
            });
        }
        match self.operation {
            Operation::Create | Operation::Update => Ok(()),
            other => Err(InvalidReview::Operation(other.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn review() -> Value {
        json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u-1",
                "kind": {"group": "meteor.zone", "version": "v1alpha1", "kind": "CustomNBImage"},
                "resource": {"group": "meteor.zone", "version": "v1alpha1", "resource": "customnbimages"},
                "name": "x", "namespace": "team-a", "operation": "CREATE",
                "userInfo": {"username": "alice", "groups": ["a"], "extra": {"k": ["v"]}},
                "object": {
                    "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
                    "metadata": {"name": "x", "namespace": "team-a", "managedFields": [{"fieldsV1": {"f:a": {}}}]},
                    "spec": {"buildType": "ImageImport"},
                },
                "oldObject": null, "dryRun": false, "options": {},
            },
        })
    }

    fn changed(pointer: &str, value: Value) -> String {
        let mut review = review();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        review.pointer_mut(parent).unwrap()[key] = value;
        review.to_string()
    }

    #[test]
    fn a_review_is_parse() {
        let text = review().to_string();
        let request = parse(text.as_bytes()).unwrap();
        assert_eq!(request.uid, "u-1");
        assert_eq!(request.operation, Operation::Create);
        assert_eq!(request.user.name(), Some("alice"));
        assert_eq!(request.object.name(), Some("x"));
        assert!(request.old.is_none());
    }

    #[test]
    fn another_resource_subresource_or_operation_is_an_error() {
        for (pointer, value, expected) in [
            (
                "/request/kind/kind",
                json!("Pod"),
                "customnbimages.v1alpha1.meteor.zone",
            ),
            ("/request/kind/group", json!(""), "not of"),
            ("/request/kind/version", json!("v1"), "not of"),
            ("/request/resource/resource", json!("pods"), "pods.v1alpha1.meteor.zone"),
            ("/request/subResource", json!("status"), "customnbimages/status"),
            ("/request/operation", json!("DELETE"), "operation DELETE"),
            ("/request/operation", json!("CONNECT"), "operation CONNECT"),
            ("/request/operation", json!("DANCE"), "unknown variant"),
            ("/request/object", json!(null), "request.object is missing"),
            ("/request/object", json!("x"), "not an AdmissionReview"),
            ("/request/object/kind", json!("Pod"), "another apiVersion or kind"),
            ("/request/uid", json!(7), "not an AdmissionReview"),
            ("/apiVersion", json!("admission.k8s.io/v1beta1"), "v1beta1"),
            ("/kind", json!("Po\nd"), "Po\\nd"),
            ("/request", json!(null), "is missing"),
        ] {
            let text = changed(pointer, value);
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{pointer}: {error}");
        }
    }

    #[test]
    fn an_update_needs_the_old_object() {
        let text = changed("/request/operation", json!("UPDATE"));
        assert!(matches!(
            parse(text.as_bytes()),
            Err(InvalidReview::Missing("request.oldObject"))
        ));
    }

    #[test]
    fn a_truncated_review_is_reported_as_truncated() {
        let text = review().to_string();
        assert!(matches!(parse(b""), Err(InvalidReview::Empty)));
        for cut in 1..text.len() {
            assert!(
                matches!(parse(&text.as_bytes()[..cut]), Err(InvalidReview::Truncated(_))),
                "{cut}"
            );
        }
        assert!(matches!(parse(b"hello"), Err(InvalidReview::NotJson(_))));
        assert!(matches!(parse(b"\xff\xfe"), Err(InvalidReview::NotJson(_))));
        assert!(matches!(parse(b"[]"), Err(InvalidReview::NotAReview(_))));
    }
}
