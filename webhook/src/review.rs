//! An AdmissionReview as it arrives (`admission.k8s.io/v1`), read without trees: what nobody looks at is skipped.
//!
//! Knows the protocol and no rule. A request whose envelope is not what we registered for is a [`NotOurs`], which is the
//! caller's mistake; what is wrong *inside* the object is for the rules to say.

mod not_ours;

use std::borrow::Cow;
use std::collections::BTreeMap;

use cnbi_shared::admission_input::AdmissionInput;
use cnbi_shared::api::{GROUP, KIND, UnvalidatedImage, VERSION};
use cnbi_shared::verdict::printable;
use serde::Deserialize;

pub use not_ours::NotOurs;

/// `apiVersion` of a review.
pub const API_VERSION: &str = "admission.k8s.io/v1";
/// `kind` of a review.
pub const REVIEW: &str = "AdmissionReview";
/// The resource that we judge, as it stands in a URL.
pub const RESOURCE: &str = "customnbimages";

/// Most characters of somebody else's text that an error repeats.
const SHOWN: usize = 200;

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "O: Deserialize<'de>"))]
pub struct Request<'a, O> {
    /// Identifies this one question; the answer repeats it.
    #[serde(borrow)]
    pub uid: Cow<'a, str>,
    #[serde(borrow)]
    kind: GroupVersionKind<'a>,
    #[serde(borrow)]
    resource: GroupVersionResource<'a>,
    #[serde(borrow, default)]
    sub_resource: Cow<'a, str>,
    /// Name of the object; empty while the API server has yet to make one.
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    /// Namespace of the object.
    #[serde(borrow, default)]
    pub namespace: Cow<'a, str>,
    /// What is to be done.
    pub operation: Operation,
    /// Who wants it.
    #[serde(default)]
    pub user_info: User,
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

/// What is to be done with the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// It is new.
    Create,
    /// It takes the place of another.
    Update,
    /// Not asked of us.
    Delete,
    /// Not asked of us.
    Connect,
}

impl Operation {
    /// As it stands in a review.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// Who makes the request (`authentication.k8s.io/v1` UserInfo).
#[derive(Clone, Debug, Default, Deserialize)]
pub struct User {
    /// Name.
    #[serde(default)]
    pub username: String,
    /// Unique across time, where the authenticator knows such a thing.
    #[serde(default)]
    pub uid: Option<String>,
    /// Groups.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
    /// Whatever else the authenticator said, for the authorizer alone.
    #[serde(default)]
    pub extra: Option<BTreeMap<String, Vec<String>>>,
}

impl User {
    /// The name, where there is one.
    pub fn name(&self) -> Option<&str> {
        Some(self.username.as_str()).filter(|name| !name.is_empty())
    }
}

/// What a path is registered for.
struct Target {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    resource: &'static str,
    title: &'static str,
}

const CUSTOM_NB_IMAGE: Target = Target {
    group: GROUP,
    version: VERSION,
    kind: KIND,
    resource: RESOURCE,
    title: "customnbimages.v1alpha1.meteor.zone",
};

const CONFIG_MAP: Target = Target {
    group: "",
    version: "v1",
    kind: "ConfigMap",
    resource: "configmaps",
    title: "configmaps.v1",
};

/// A question about one resource, its envelope checked.
#[derive(Debug)]
pub struct Question<'a, O = UnvalidatedImage> {
    /// Identifies this one question; the answer repeats it.
    pub uid: Cow<'a, str>,
    /// Name of the object; empty while the API server has yet to make one.
    pub name: Cow<'a, str>,
    /// Namespace of the object.
    pub namespace: Cow<'a, str>,
    /// What is to be done.
    pub operation: Operation,
    /// Who wants it.
    pub user: User,
    /// The object as it would be stored.
    pub object: O,
    /// On an update, the object that is stored now.
    pub old: Option<O>,
}

impl Question<'_> {
    /// What the rules are asked.
    pub fn subject(&self) -> AdmissionInput<'_> {
        match &self.old {
            Some(old) => AdmissionInput::update(&self.object, old),
            None => AdmissionInput::create(&self.object),
        }
    }
}

/// The parts of a ConfigMap that hold a configuration.
#[derive(Debug, Deserialize)]
pub struct ConfigMap<'a> {
    /// `data`
    #[serde(borrow, default)]
    pub data: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

/// Reads a review of a `CustomNBImage`.
pub fn read(body: &[u8]) -> Result<Question<'_>, NotOurs> {
    let question = read_for::<UnvalidatedImage>(body, &CUSTOM_NB_IMAGE)?;
    for draft in std::iter::once(&question.object).chain(&question.old) {
        if !draft.is_ours() {
            return Err(NotOurs::AnotherKind {
                expected: CUSTOM_NB_IMAGE.title,
                found: "an object whose own apiVersion and kind say otherwise".to_owned(),
            });
        }
    }
    Ok(question)
}

/// Reads a review of a ConfigMap.
pub fn read_config_map(body: &[u8]) -> Result<Question<'_, ConfigMap<'_>>, NotOurs> {
    read_for(body, &CONFIG_MAP)
}

fn read_for<'a, O: Deserialize<'a>>(body: &'a [u8], target: &Target) -> Result<Question<'a, O>, NotOurs> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", bound(deserialize = "O: Deserialize<'de>"))]
    struct Review<'a, O> {
        #[serde(borrow, default)]
        api_version: Cow<'a, str>,
        #[serde(borrow, default)]
        kind: Cow<'a, str>,
        #[serde(borrow)]
        request: Option<Request<'a, O>>,
    }
    if body.is_empty() {
        return Err(NotOurs::Empty);
    }
    // To see once that all of it is UTF-8 costs less than to ask for each text. Where it is not, the error is to say where.
    let review: Review<'a, O> = match std::str::from_utf8(body) {
        Ok(text) => serde_json::from_str(text)?,
        Err(_) => serde_json::from_slice(body)?,
    };
    if review.api_version != API_VERSION || review.kind != REVIEW {
        let found = format!("{} {}", review.api_version, review.kind);
        return Err(NotOurs::NotAReview(format!(
            "it is \"{}\"",
            printable(found.trim(), SHOWN)
        )));
    }
    let request = review.request.ok_or(NotOurs::NoObject("uid"))?;
    request.check(target)?;
    let object = request.object.ok_or(NotOurs::NoObject("object"))?;
    let old = match request.operation {
        Operation::Update => Some(request.old_object.ok_or(NotOurs::NoObject("oldObject"))?),
        _ => None,
    };
    Ok(Question {
        uid: request.uid,
        name: request.name,
        namespace: request.namespace,
        operation: request.operation,
        user: request.user_info,
        object,
        old,
    })
}

impl<O> Request<'_, O> {
    fn check(&self, target: &Target) -> Result<(), NotOurs> {
        let GroupVersionKind { group, version, kind } = &self.kind;
        let is_kind = group == target.group && version == target.version && kind == target.kind;
        let GroupVersionResource {
            group,
            version,
            resource,
        } = &self.resource;
        let is_resource = group == target.group && version == target.version && resource == target.resource;
        if !is_kind || !is_resource || !self.sub_resource.is_empty() {
            let slash = if self.sub_resource.is_empty() { "" } else { "/" };
            let found = format!(
                "{resource}{slash}{}.{version}.{group} ({})",
                self.sub_resource, self.kind.kind
            );
            return Err(NotOurs::AnotherKind {
                expected: target.title,
                found: printable(&found, SHOWN),
            });
        }
        match self.operation {
            Operation::Create | Operation::Update => Ok(()),
            other => Err(NotOurs::Operation(other.as_str())),
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
    fn a_review_is_read() {
        let text = review().to_string();
        let question = read(text.as_bytes()).unwrap();
        assert_eq!(question.uid, "u-1");
        assert_eq!(question.operation, Operation::Create);
        assert_eq!(question.user.name(), Some("alice"));
        assert_eq!(question.object.name(), Some("x"));
        assert!(question.old.is_none());
    }

    #[test]
    fn another_kind_group_version_resource_subresource_or_operation_is_refused() {
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
            ("/request/object/kind", json!("Pod"), "own apiVersion and kind"),
            ("/request/uid", json!(7), "not an AdmissionReview"),
            ("/apiVersion", json!("admission.k8s.io/v1beta1"), "v1beta1"),
            ("/kind", json!("Po\nd"), "Po\\nd"),
            ("/request", json!(null), "is missing"),
        ] {
            let text = changed(pointer, value);
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{pointer}: {error}");
        }
    }

    #[test]
    fn an_update_needs_the_old_object() {
        let text = changed("/request/operation", json!("UPDATE"));
        assert!(matches!(read(text.as_bytes()), Err(NotOurs::NoObject("oldObject"))));
    }

    #[test]
    fn every_cut_is_a_clear_error() {
        let text = review().to_string();
        assert!(matches!(read(b""), Err(NotOurs::Empty)));
        for cut in 1..text.len() {
            assert!(
                matches!(read(&text.as_bytes()[..cut]), Err(NotOurs::Truncated(_))),
                "{cut}"
            );
        }
        assert!(matches!(read(b"hello"), Err(NotOurs::NotJson(_))));
        assert!(matches!(read(b"\xff\xfe"), Err(NotOurs::NotJson(_))));
        assert!(matches!(read(b"[]"), Err(NotOurs::NotAReview(_))));
    }
}
