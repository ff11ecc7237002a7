//! What the controller reads of a stored resource, whatever somebody stored.
//!
//! One object that cannot be decoded would end the watch of all: so only `metadata` has to be what Kubernetes guarantees.
//! What nobody here looks at (`managedFields`, foreign annotations) is dropped at once, because all resources are kept in
//! memory.

use std::borrow::Cow;

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
pub struct Stored {
    /// Without `managedFields`, and with our annotations only.
    #[serde(default, deserialize_with = "slim")]
    pub metadata: ObjectMeta,
    /// As it stands there.
    #[serde(default)]
    pub spec: Field<Spec>,
    /// `None` also where it does not read as ours; it is then written anew.
    #[serde(default, deserialize_with = "readable")]
    pub status: Option<Status>,
}

fn slim<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let mut metadata = ObjectMeta::deserialize(deserializer)?;
    metadata.managed_fields = None;
    metadata.labels = None;
    metadata.owner_references = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|key, _| [DISPLAY_NAME, DESCRIPTION, CREATOR, RETRY].contains(&key.as_str()));
    }
    Ok(metadata)
}

fn readable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Status>, D::Error> {
    let status = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(status.and_then(|status| serde_json::from_value(status).ok()))
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
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
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
        assert_eq!(
            resource.metadata.annotations.unwrap().into_keys().collect::<Vec<_>>(),
            [RETRY, DESCRIPTION]
        );
    }
}
