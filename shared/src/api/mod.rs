//! The types of the resource `CustomNBImage` (`meteor.zone/v1alpha1`). [`crate::rules`] validates it.

pub mod annotations;
pub mod crd;
pub mod field;
pub mod limits;
pub mod packages;
pub mod spec;
pub mod status;
pub mod unvalidated;

pub use field::{ActualType, Field};
pub use spec::{BuildType, CustomNBImage, Spec};
pub use status::Status;
pub use unvalidated::{Metadata, UnvalidatedImage};

/// API group of the resource.
pub const GROUP: &str = "meteor.zone";
/// Served and stored version of the resource.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` in a manifest.
pub const API_VERSION: &str = "meteor.zone/v1alpha1";
/// `kind` in a manifest.
pub const KIND: &str = "CustomNBImage";
