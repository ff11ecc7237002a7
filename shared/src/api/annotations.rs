//! Annotation keys of CNBi and Open Data Hub.

/// Display name in the notebook spawner.
pub const DISPLAY_NAME: &str = "opendatahub.io/notebook-image-name";
/// Description in the notebook spawner.
pub const DESCRIPTION: &str = "opendatahub.io/notebook-image-desc";
/// Creator in the notebook spawner.
pub const CREATOR: &str = "opendatahub.io/notebook-image-creator";
/// Owner of an ImageStream: `namespace/name` of the resource. It is an annotation because label values are limited to 63 characters.
pub const OWNED_BY: &str = "meteor.zone/owned-by";
