//! Annotation keys that mean something to CNBi or to Open Data Hub.

/// Display name in the notebook spawner.
pub const DISPLAY_NAME: &str = "opendatahub.io/notebook-image-name";
/// Description in the notebook spawner.
pub const DESCRIPTION: &str = "opendatahub.io/notebook-image-desc";
/// Who asked for the image.
pub const CREATOR: &str = "opendatahub.io/notebook-image-creator";
/// On an ImageStream that CNBi made: `namespace/name` of the resource it belongs to. An annotation and not a label,
/// because a resource's name may be longer than the 63 characters that a label value holds.
pub const OWNED_BY: &str = "meteor.zone/owned-by";
