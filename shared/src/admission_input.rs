//! The input of the rules: an object and, for an update, the stored object.

use crate::api::UnvalidatedImage;
use crate::path::FieldId;

/// The input of the rules.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionInput<'a> {
    /// The new object.
    pub object: &'a UnvalidatedImage,
    /// The stored object, for an update.
    pub old: Option<&'a UnvalidatedImage>,
    /// Unknown keys in the object; only offline, because the API server prunes them.
    pub unknown_keys: &'a [UnknownKey],
}

/// An unknown key. The API server prunes unknown keys before admission, so only the offline check finds any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKey {
    /// The field that contains the key.
    pub parent: FieldId,
    /// The key.
    pub key: String,
}

impl<'a> AdmissionInput<'a> {
    /// The input for a create.
    pub fn create(object: &'a UnvalidatedImage) -> Self {
        Self {
            object,
            old: None,
            unknown_keys: &[],
        }
    }

    /// The input for an update.
    pub fn update(object: &'a UnvalidatedImage, old: &'a UnvalidatedImage) -> Self {
        Self {
            object,
            old: Some(old),
            unknown_keys: &[],
        }
    }

    /// Whether the spec is unchanged. False for a create.
    pub fn spec_is_unchanged(&self) -> bool {
        self.old.is_some_and(|old| old.spec == self.object.spec)
    }

    /// Whether the spec and the annotations of CNBi are unchanged. False for a create.
    pub fn is_unchanged(&self) -> bool {
        self.spec_is_unchanged()
            && self
                .old
                .is_some_and(|old| old.annotations() == self.object.annotations())
    }
}

/// Finds unknown keys of a manifest at the root, in `spec` and in the objects below it.
pub fn unknown_keys(manifest: &serde_json::Value) -> Vec<UnknownKey> {
    const SERVER_SIDE: [&str; 3] = ["apiVersion", "kind", "status"];
    let mut unknown = Vec::new();
    for parent in [
        FieldId::Object,
        FieldId::Spec,
        FieldId::ImagePullSecret,
        FieldId::RuntimeEnvironment,
    ] {
        let Some(value) = parent.keys().iter().try_fold(manifest, |value, key| value.get(key)) else {
            continue;
        };
        for key in value.as_object().into_iter().flat_map(serde_json::Map::keys) {
            let is_known = parent.children().any(|child| child == key)
                || (parent == FieldId::Object && SERVER_SIDE.contains(&key.as_str()));
            if !is_known {
                unknown.push(UnknownKey {
                    parent,
                    key: key.clone(),
                });
            }
        }
    }
    unknown
}
