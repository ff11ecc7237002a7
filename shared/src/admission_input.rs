//! What is judged: an object, perhaps the object it replaces, and who asks.

use crate::api::UnvalidatedImage;
use crate::path::FieldId;

/// One question to the rules.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionInput<'a> {
    /// The object as it would be stored.
    pub object: &'a UnvalidatedImage,
    /// On an update, the object that is stored now.
    pub old: Option<&'a UnvalidatedImage>,
    /// Keys in the object that no field of ours has, each with its place; only where nobody prunes them before us.
    pub unknown_keys: &'a [UnknownKey],
}

/// A key that no field has. The API server drops such keys before it asks a webhook, so only the offline check finds any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKey {
    /// The object that the key stands in.
    pub parent: FieldId,
    /// The key.
    pub key: String,
}

impl<'a> AdmissionInput<'a> {
    /// An object that is being created.
    pub fn create(object: &'a UnvalidatedImage) -> Self {
        Self {
            object,
            old: None,
            unknown_keys: &[],
        }
    }

    /// An object that takes the place of another.
    pub fn update(object: &'a UnvalidatedImage, old: &'a UnvalidatedImage) -> Self {
        Self {
            object,
            old: Some(old),
            unknown_keys: &[],
        }
    }

    /// The spec is the same as before. False on a create.
    pub fn spec_is_unchanged(&self) -> bool {
        self.old.is_some_and(|old| old.spec == self.object.spec)
    }

    /// Neither the spec nor an annotation that means something to us has changed. False on a create.
    pub fn is_unchanged(&self) -> bool {
        self.spec_is_unchanged()
            && self
                .old
                .is_some_and(|old| old.annotations() == self.object.annotations())
    }
}

/// Finds the keys of a manifest that no field of ours has, at the root, in `spec` and in the objects below it.
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
