//! What the controller reads of a stored resource, whatever somebody stored.
//!
//! One object that cannot be decoded would end the watch of all: so only `metadata` has to be what Kubernetes guarantees.
//! What nobody here looks at (`managedFields`, foreign annotations) is not read at all. All resources are kept in memory, as
//! [`crate::watch::packed`].

use std::collections::BTreeMap;

use cnbi_shared::api::annotations::{CREATOR, DESCRIPTION, DISPLAY_NAME};
use cnbi_shared::api::{CustomNBImage, Field, Spec, Status};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::{Deserialize, Deserializer};

use crate::plan::manifest::RETRY;

/// Our finalizer: what a resource has in other namespaces goes before it does.
pub const FINALIZER: &str = "meteor.zone/cleanup";

/// A resource as it was read from the API server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "Read")]
pub struct Stored {
    /// Names, versions and times; without annotations.
    pub metadata: ObjectMeta,
    /// Ours, of those that are set. Four at most, so a tree would be mostly empty.
    annotations: Box<[(&'static str, String)]>,
    /// As it stands there.
    pub spec: Field<Spec>,
    /// `None` also where it does not read as ours; it is then written anew.
    pub status: Option<Status>,
}

/// What is read of `metadata`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
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

/// The same as it is sent.
#[derive(Deserialize)]
struct Read {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Field<Spec>,
    #[serde(default, deserialize_with = "readable")]
    status: Option<Status>,
}

impl From<Read> for Stored {
    fn from(read: Read) -> Self {
        Self::new(read.metadata, read.spec, read.status)
    }
}

/// A status; `None` also where it does not read as one.
pub fn readable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Status>, D::Error> {
    let status = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(status.and_then(|status| serde_json::from_value(status).ok()))
}

/// Namespace and name of a resource, which the API server gives to all.
pub(crate) fn names(metadata: &ObjectMeta) -> (&str, &str) {
    (
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    )
}

/// Its uid.
pub(crate) fn uid(metadata: &ObjectMeta) -> &str {
    metadata.uid.as_deref().unwrap_or_default()
}

impl Stored {
    /// With those of all annotations that are ours.
    pub fn new(metadata: Metadata, spec: Field<Spec>, status: Option<Status>) -> Self {
        let mut all = metadata.annotations.unwrap_or_default();
        let ours = [DISPLAY_NAME, DESCRIPTION, CREATOR, RETRY].into_iter();
        Self {
            metadata: ObjectMeta {
                name: metadata.name,
                namespace: metadata.namespace,
                uid: metadata.uid,
                resource_version: metadata.resource_version,
                generation: metadata.generation,
                creation_timestamp: metadata.creation_timestamp,
                deletion_timestamp: metadata.deletion_timestamp,
                finalizers: metadata.finalizers,
                ..ObjectMeta::default()
            },
            annotations: ours.filter_map(|key| Some((key, all.remove(key)?))).collect(),
            spec,
            status,
        }
    }

    /// Its namespace and name.
    pub fn names(&self) -> (&str, &str) {
        names(&self.metadata)
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        uid(&self.metadata)
    }

    /// When it was created.
    pub fn created(&self) -> Timestamp {
        let created = self.metadata.creation_timestamp.as_ref();
        created.map(|created| created.0).unwrap_or_default()
    }

    /// The annotations that are kept.
    pub fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.annotations.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// What an Event about it names.
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(CustomNBImage::api_version(&()).into_owned()),
            kind: Some(CustomNBImage::kind(&()).into_owned()),
            namespace: self.metadata.namespace.clone(),
            name: self.metadata.name.clone(),
            uid: self.metadata.uid.clone(),
            ..ObjectReference::default()
        }
    }

    /// The value of an annotation that is kept.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        let found = self.annotations.iter().find(|(of, _)| *of == key);
        found.map(|(_, value)| value.as_str())
    }

    /// The resource without its status, as the rules take it; a spec that is none is left empty.
    pub fn whole(&self) -> CustomNBImage {
        let annotations: BTreeMap<String, String> = self
            .annotations()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        CustomNBImage {
            metadata: ObjectMeta {
                annotations: Some(annotations).filter(|all| !all.is_empty()),
                ..self.metadata.clone()
            },
            spec: self.spec.value().cloned().unwrap_or_default(),
            status: None,
        }
    }

    /// Whether it carries our finalizer.
    pub fn has_finalizer(&self) -> bool {
        let finalizers = self.metadata.finalizers.iter().flatten();
        finalizers.into_iter().any(|finalizer| finalizer == FINALIZER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(json: &str) -> Stored {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn nothing_that_can_be_stored_stops_the_watch() {
        let resource = stored(r#"{"metadata":{"name":"x"},"spec":[1],"status":{"conditions":"none"}}"#);
        assert!(resource.spec.wrong().is_some());
        assert_eq!(resource.status, None);
        assert!(stored(r#"{"metadata":{"name":"x"}}"#).spec.is_absent());
        let resource = stored(r#"{"spec":{"buildType":7},"status":{"observedGeneration":2,"unknown":1}}"#);
        assert!(resource.spec.value().unwrap().build_type.wrong().is_some());
        assert_eq!(resource.status.unwrap().observed_generation, Some(2));
    }

    #[test]
    fn only_what_is_looked_at_is_kept() {
        let resource = stored(
            r#"{"metadata":{"annotations":{"a":"b","opendatahub.io/notebook-image-desc":"d","meteor.zone/retry":"1"},
                "labels":{"a":"b"},"managedFields":[{"manager":"m"}],"finalizers":["x/y","meteor.zone/cleanup"]}}"#,
        );
        assert!(resource.has_finalizer());
        assert_eq!(resource.metadata.annotations, None);
        assert_eq!(
            (resource.annotation(DESCRIPTION), resource.annotation(CREATOR)),
            (Some("d"), None)
        );
        let whole = resource.whole().metadata.annotations.unwrap();
        assert_eq!(whole.into_keys().collect::<Vec<_>>(), [RETRY, DESCRIPTION]);
    }
}
