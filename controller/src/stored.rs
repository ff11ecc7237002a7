//! What the controller reads of a stored resource, whatever somebody stored.
//!
//! One object that cannot be decoded would end the watch of all: so only `metadata` has to be what Kubernetes guarantees.
//! What nobody here looks at (`managedFields`, foreign annotations) is dropped at once, because all resources are kept in
//! memory.

use std::borrow::Cow;
use std::collections::BTreeMap;

use cnbi_shared::api::annotations::{CREATOR, DESCRIPTION, DISPLAY_NAME};
use cnbi_shared::api::{CustomNBImage, Field, Spec, Status};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::{Deserialize, Deserializer};

use crate::build::manifest::RETRY;

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

/// The same as it is sent.
#[derive(Deserialize)]
struct Read {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Field<Spec>,
    #[serde(default, deserialize_with = "readable")]
    status: Option<Status>,
}

impl From<Read> for Stored {
    fn from(read: Read) -> Self {
        let Read {
            mut metadata,
            spec,
            status,
        } = read;
        metadata.managed_fields = None;
        metadata.labels = None;
        metadata.owner_references = None;
        let mut all = metadata.annotations.take().unwrap_or_default();
        let ours = [DISPLAY_NAME, DESCRIPTION, CREATOR, RETRY].into_iter();
        Self {
            metadata,
            annotations: ours.filter_map(|key| Some((key, all.remove(key)?))).collect(),
            spec,
            status,
        }
    }
}

fn readable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Status>, D::Error> {
    let status = Option::<serde_json::Value>::deserialize(deserializer)?;
    let mut status: Option<Status> = status.and_then(|status| serde_json::from_value(status).ok());
    if let Some(status) = &mut status {
        status.conditions.shrink_to_fit();
        status.history.shrink_to_fit();
    }
    Ok(status)
}

impl Stored {
    /// Its namespace and name.
    pub fn names(&self) -> (&str, &str) {
        let metadata = &self.metadata;
        (
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default(),
        )
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// When it was created.
    pub fn created(&self) -> Timestamp {
        let created = self.metadata.creation_timestamp.as_ref();
        created.map(|created| created.0).unwrap_or_default()
    }

    /// The value of an annotation that is kept.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        let found = self.annotations.iter().find(|(of, _)| *of == key);
        found.map(|(_, value)| value.as_str())
    }

    /// The resource without its status, as the rules take it; a spec that is none is left empty.
    pub fn whole(&self) -> CustomNBImage {
        let annotations = self.annotations.iter();
        let annotations: BTreeMap<String, String> = annotations
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
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
        assert_eq!(resource.metadata.managed_fields, None);
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
