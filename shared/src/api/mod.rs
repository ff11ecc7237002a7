//! The resource `CustomNBImage` (`meteor.zone/v1alpha1`): one file a concern.
//!
//! Types only. What makes a resource a good one is said in [`crate::rules`].

pub mod annotations;
pub mod crd;
pub mod field;
pub mod limits;
pub mod packages;
pub mod spec;
pub mod status;
pub mod unvalidated;

pub use field::{Field, Found};
pub use spec::{BuildType, CustomNBImage, Spec};
pub use status::Status;
pub use unvalidated::{Metadata, UnvalidatedImage};

/// API group of the resource.
pub const GROUP: &str = "meteor.zone";
/// Served and stored version of the resource.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` as it stands in a manifest.
pub const API_VERSION: &str = "meteor.zone/v1alpha1";
/// `kind` as it stands in a manifest.
pub const KIND: &str = "CustomNBImage";
