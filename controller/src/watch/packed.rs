//! A resource as it is kept: in one piece, and read again for the moment of a visit.
//!
//! All resources are kept in memory. As values each would be a hundred small texts, scattered between what visits leave
//! behind, so that pages of memory that are nearly empty could not be given back.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use cnbi_shared::api::status::Phase;
use cnbi_shared::api::{CustomNBImage, Field, Spec, Status};
use cnbi_shared::contract::{ConditionType, Reason};
use flate2::Compression;
use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;
use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::metrics::Validation;
use crate::upstream::followed;
use crate::watch::stored::{self, Metadata, Stored, readable};

/// A resource in one piece.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Read")]
pub struct Packed {
    /// Names, versions and times, which kube's watch and store ask for.
    metadata: ObjectMeta,
    /// What [`Stored`] has besides, as JSON that it is read from, deflated: a third of it is left.
    rest: Arc<[u8]>,
    /// What is asked of all resources at once.
    pub glance: Glance,
}

/// What is seen of a resource without unpacking it.
#[derive(Clone, Debug)]
pub struct Glance {
    /// The overall state; `None`: nothing is said yet.
    pub phase: Option<Phase>,
    /// What the rules say of it.
    pub verdict: Validation,
    /// Whether it waits for nothing but its turn.
    pub is_queued: bool,
    /// The image whose tag is followed, if any is.
    pub follows: Option<Arc<str>>,
}

/// A resource as it is sent.
#[derive(Deserialize)]
struct Read {
    #[serde(default)]
    metadata: Metadata,
    /// As it stands there: a [`Field`] could not be written again where it is wrong.
    #[serde(default, deserialize_with = "present")]
    spec: Option<Value>,
    #[serde(default, deserialize_with = "readable")]
    status: Option<Status>,
}

#[derive(Serialize)]
struct Rest<'a> {
    metadata: RestOfMetadata<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spec: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: &'a Option<Status>,
}

#[derive(Serialize)]
struct RestOfMetadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    finalizers: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'a str, &'a str>,
}

/// That the key is there with `null` is something else than that it is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl TryFrom<Read> for Packed {
    type Error = serde_json::Error;

    fn try_from(read: Read) -> Result<Self, serde_json::Error> {
        let Read { metadata, spec, status } = read;
        let field = spec.as_ref().map(Field::<Spec>::deserialize).transpose()?;
        let mut stored = Stored::new(metadata, field.unwrap_or_default(), status);
        let glance = Glance::of(&stored);
        let finalizers = stored.metadata.finalizers.take();
        let rest = Rest {
            metadata: RestOfMetadata {
                finalizers,
                annotations: stored.annotations().collect(),
            },
            spec,
            status: &stored.status,
        };
        Ok(Self {
            rest: deflated(&rest)?.into(),
            metadata: stored.metadata,
            glance,
        })
    }
}

fn deflated(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    serde_json::to_writer(&mut encoder, value)?;
    encoder.finish().map_err(serde_json::Error::io)
}

impl Packed {
    /// The resource itself.
    pub fn unpack(&self) -> Stored {
        let mut json = Vec::new();
        let inflated = DeflateDecoder::new(&*self.rest).read_to_end(&mut json);
        // What was written here can be read here.
        let read = inflated.ok().and_then(|_| serde_json::from_slice(&json).ok());
        let mut stored: Stored = read.unwrap_or_default();
        stored.metadata = ObjectMeta {
            finalizers: stored.metadata.finalizers,
            ..self.metadata.clone()
        };
        stored
    }

    /// Its namespace and name.
    pub fn names(&self) -> (&str, &str) {
        stored::names(&self.metadata)
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        stored::uid(&self.metadata)
    }
}

impl Glance {
    fn of(stored: &Stored) -> Self {
        let status = stored.status.as_ref();
        Self {
            phase: status.and_then(|status| status.phase),
            verdict: verdict(status),
            is_queued: is_queued(status),
            follows: followed(stored).map(|image| image.as_str().into()),
        }
    }
}

/// What a status tells of the rules.
fn verdict(status: Option<&Status>) -> Validation {
    let mut conditions = status.into_iter().flat_map(|status| &status.conditions);
    let said = conditions.find(|said| said.type_ == ConditionType::WellFormed.as_str());
    match said.map(|said| said.status.as_str()) {
        Some("True") => Validation::Valid,
        Some("False") => Validation::Invalid,
        _ => Validation::NotChecked,
    }
}

/// Whether a status says that the resource waits for nothing but its turn.
pub fn is_queued(status: Option<&Status>) -> bool {
    status.is_some_and(|status| {
        status.conditions.iter().any(|said| {
            said.type_ == ConditionType::PipelineRunCreated.as_str()
                && said.status == "False"
                && said.reason == Reason::Queued.as_str()
        })
    })
}

impl Resource for Packed {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        CustomNBImage::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        CustomNBImage::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        CustomNBImage::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        CustomNBImage::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn packed(object: &Value) -> Packed {
        serde_json::from_str(&object.to_string()).unwrap()
    }

    #[test]
    fn what_is_packed_is_what_was_read() {
        let said = json!({"type": "Ready", "status": "True", "reason": "R", "message": "ä", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let metadata = json!({
            "name": "x", "namespace": "a", "uid": "u", "resourceVersion": "7", "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z",
            "finalizers": ["x/y", "meteor.zone/cleanup"], "annotations": {"meteor.zone/retry": "now", "a": "b"},
        });
        for object in [
            json!({"metadata": metadata, "spec": {"buildType": "PackageList", "packageVersions": ["a", 7, null]},
                "status": {"observedGeneration": 3, "conditions": [said]}}),
            json!({"metadata": metadata, "spec": {"buildType": 7, "fromImage": null, "gitRef": {"a": 1}, "targetNamespace": true}}),
            json!({"metadata": metadata, "spec": null, "status": 7}),
            json!({"metadata": {"name": "x"}, "spec": [1]}),
            json!({}),
        ] {
            let stored: Stored = serde_json::from_str(&object.to_string()).unwrap();
            assert_eq!(
                format!("{stored:?}"),
                format!("{:?}", packed(&object).unpack()),
                "{object}"
            );
        }
    }

    #[test]
    fn what_is_asked_of_all_is_seen_at_a_glance() {
        let said = |type_: &str, status: &str, reason: &str| {
            json!({
                "type": type_, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let resource = |phase: &str, observed: i64| {
            packed(&json!({
                "metadata": {"name": "x", "generation": 2},
                "spec": {"buildType": "ImageImport", "fromImage": "quay.io/a/b:v1"},
                "status": {"phase": phase, "observedGeneration": observed, "conditions": [
                    said("WellFormed", "False", "RulesBroken"), said("PipelineRunCreated", "False", "Queued"),
                ]},
            }))
        };
        let ready = resource("Ready", 2).glance;
        assert_eq!(
            (ready.phase, ready.verdict, ready.is_queued),
            (Some(Phase::Ready), Validation::Invalid, true)
        );
        assert_eq!(ready.follows.as_deref(), Some("quay.io/a/b:v1"));
        assert_eq!(resource("Building", 2).glance.follows, None);
        assert_eq!(
            resource("Ready", 1).glance.follows,
            None,
            "it is Ready for what was asked before"
        );
        let nothing = packed(&json!({"metadata": {"name": "x"}})).glance;
        assert_eq!(
            (nothing.phase, nothing.verdict, nothing.is_queued),
            (None, Validation::NotChecked, false)
        );
    }
}
