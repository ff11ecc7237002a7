//! Limits of the resource, used by the schema and by the rules.

/// Maximum number of items in `spec.packageVersions`.
pub const PACKAGES: usize = 500;
/// Maximum number of characters in one item of `spec.packageVersions`.
pub const PACKAGE: usize = 512;
/// Maximum number of characters in an image reference.
pub const IMAGE: usize = 512;
/// Maximum number of characters in `spec.repositoryUrl`.
pub const REPOSITORY_URL: usize = 2048;
/// Maximum number of characters in `spec.gitRef`.
pub const GIT_REF: usize = 255;
/// Maximum number of characters in each part of `spec.runtimeEnvironment`.
pub const ENVIRONMENT_PART: usize = 63;
/// Maximum number of characters in the display name.
pub const DISPLAY_NAME: usize = 250;
/// Maximum number of characters in the description.
pub const DESCRIPTION: usize = 5500;
/// Maximum number of characters in a Secret's name: a DNS-1123 subdomain.
pub const SECRET_NAME: usize = 253;
/// Maximum number of characters in a namespace's name: a DNS-1123 label.
pub const NAMESPACE: usize = 63;
/// Maximum number of characters in `namespace/name` of an ImageStream.
pub const IMAGE_STREAM_REFERENCE: usize = 255;
/// Maximum number of characters in the name of a resource: a DNS-1123 subdomain.
pub const OBJECT_NAME: usize = 253;
