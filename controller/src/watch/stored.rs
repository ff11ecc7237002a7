//! The part of a `CustomNBImage` that the controller keeps in memory.
//!
//! Deserialisation is lenient, because one object that fails would end the watch of all: only `metadata` has to be valid, which
//! the API server guarantees. `managedFields` and the annotations of others are dropped.

use std::borrow::Cow;
use std::collections::BTreeMap;

use cnbi_shared::api::annotations::{CREATOR, DESCRIPTION, DISPLAY_NAME};
use cnbi_shared::api::status::Phase;
use cnbi_shared::api::{CustomNBImage, Field, Spec, Status};
use cnbi_shared::contract::{ConditionType, Reason};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::Resource;
use kube::api::ObjectMeta;
use serde::{Deserialize, Deserializer};

use crate::metrics::Validation;
use crate::plan::manifest::RETRY;

/// The controller's finalizer. Objects in other namespaces are deleted before it is removed.
pub const FINALIZER: &str = "meteor.zone/cleanup";

/// The annotations that are kept.
const ANNOTATIONS: [&str; 4] = [DISPLAY_NAME, DESCRIPTION, CREATOR, RETRY];

/// A `CustomNBImage` as the API server has it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Stored {
    /// The metadata that the controller reads.
    #[serde(default, deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// The spec, valid or not.
    #[serde(default)]
    pub spec: Field<Spec>,
    /// `None` also if it is invalid; the next reconcile writes it anew.
    #[serde(default, deserialize_with = "status")]
    pub status: Option<Status>,
}

/// The fields of `metadata` that are kept.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
    annotations: Option<BTreeMap<String, String>>,
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let metadata = Metadata::deserialize(deserializer)?;
    let annotations = metadata.annotations.map(|mut all| {
        all.retain(|key, _| ANNOTATIONS.contains(&key.as_str()));
        all
    });
    Ok(ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        generation: metadata.generation,
        creation_timestamp: metadata.creation_timestamp,
        deletion_timestamp: metadata.deletion_timestamp,
        finalizers: metadata.finalizers,
        annotations: annotations.filter(|all| !all.is_empty()),
        ..ObjectMeta::default()
    })
}

fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Status>, D::Error> {
    let status = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(status.and_then(|status| serde_json::from_value(status).ok()))
}

impl Stored {
    /// Namespace and name.
    pub fn names(&self) -> (&str, &str) {
        (
            self.metadata.namespace.as_deref().unwrap_or_default(),
            self.metadata.name.as_deref().unwrap_or_default(),
        )
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Its creation timestamp.
    pub fn created(&self) -> Timestamp {
        let created = self.metadata.creation_timestamp.as_ref();
        created.map(|created| created.0).unwrap_or_default()
    }

    /// The object reference of its Events. Without the resource version, so that repeated Events form a series.
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            resource_version: None,
            ..self.object_ref(&())
        }
    }

    /// The value of an annotation, if it is one of those that are kept.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// The resource without its status, as the rules read it. An invalid spec becomes an empty one.
    pub fn without_status(&self) -> CustomNBImage {
        CustomNBImage {
            metadata: self.metadata.clone(),
            spec: self.spec.value().cloned().unwrap_or_default(),
            status: None,
        }
    }

    /// Whether it has the controller's finalizer.
    pub fn has_finalizer(&self) -> bool {
        let mut finalizers = self.metadata.finalizers.iter().flatten();
        finalizers.any(|finalizer| finalizer == FINALIZER)
    }

    /// The phase in its status.
    pub fn phase(&self) -> Option<Phase> {
        self.status.as_ref()?.phase
    }

    /// The result of the rules, from its status.
    pub fn validation(&self) -> Validation {
        let condition = condition(self.status.as_ref(), ConditionType::WellFormed);
        match condition.map(|condition| condition.status.as_str()) {
            Some("True") => Validation::Valid,
            Some("False") => Validation::Invalid,
            _ => Validation::NotChecked,
        }
    }

    /// Whether its status reports that it is queued.
    pub fn is_queued(&self) -> bool {
        is_queued(self.status.as_ref())
    }
}

/// Whether a status reports that the resource is queued: only the limit of concurrent builds delays it.
pub fn is_queued(status: Option<&Status>) -> bool {
    condition(status, ConditionType::PipelineRunCreated)
        .is_some_and(|condition| condition.status == "False" && condition.reason == Reason::Queued.as_str())
}

fn condition(status: Option<&Status>, type_: ConditionType) -> Option<&Condition> {
    let mut conditions = status?.conditions.iter();
    conditions.find(|condition| condition.type_ == type_.as_str())
}

impl Resource for Stored {
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

    fn stored(json: &str) -> Stored {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_invalid_object_does_not_end_the_watch() {
        let resource = stored(r#"{"metadata":{"name":"x"},"spec":[1],"status":{"conditions":"none"}}"#);
        assert!(resource.spec.wrong_type().is_some());
        assert_eq!(resource.status, None);
        assert!(stored(r#"{"metadata":{"name":"x"}}"#).spec.is_absent());
        let resource = stored(r#"{"spec":{"buildType":7},"status":{"observedGeneration":2,"unknown":1}}"#);
        assert!(resource.spec.value().unwrap().build_type.wrong_type().is_some());
        assert_eq!(resource.status.unwrap().observed_generation, Some(2));
        stored("{}");
    }

    #[test]
    fn fields_that_are_not_read_are_dropped() {
        let resource = stored(
            r#"{"metadata":{"annotations":{"a":"b","opendatahub.io/notebook-image-desc":"d","meteor.zone/retry":"1"},
                "labels":{"a":"b"},"managedFields":[{"manager":"m"}],"finalizers":["x/y","meteor.zone/cleanup"]}}"#,
        );
        assert!(resource.has_finalizer());
        assert_eq!(
            (&resource.metadata.labels, &resource.metadata.managed_fields),
            (&None, &None)
        );
        assert_eq!(
            (resource.annotation(DESCRIPTION), resource.annotation(CREATOR)),
            (Some("d"), None)
        );
        let annotations = resource.without_status().metadata.annotations.unwrap();
        assert_eq!(annotations.into_keys().collect::<Vec<_>>(), [RETRY, DESCRIPTION]);
        let resource = stored(r#"{"metadata":{"annotations":{"a":"b"}}}"#);
        assert_eq!(resource.metadata.annotations, None);
    }

    #[test]
    fn the_gauges_read_the_status() {
        let condition = |type_: &str, status: &str, reason: &str| {
            json!({
                "type": type_, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let ready: Stored = serde_json::from_value(json!({
            "metadata": {"name": "x", "generation": 2},
            "status": {"phase": "Ready", "observedGeneration": 2, "conditions": [
                condition("WellFormed", "False", "RulesBroken"), condition("PipelineRunCreated", "False", "Queued"),
            ]},
        }))
        .unwrap();
        assert_eq!(
            (ready.phase(), ready.validation(), ready.is_queued()),
            (Some(Phase::Ready), Validation::Invalid, true)
        );
        let empty = Stored::default();
        assert_eq!(
            (empty.phase(), empty.validation(), empty.is_queued()),
            (None, Validation::NotChecked, false)
        );
    }
}
