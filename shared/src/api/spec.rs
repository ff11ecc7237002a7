//! `spec`: the build request.

#![allow(
    clippy::duplicated_attributes,
    reason = "false positive: the attributes are of different printcolumns"
)]

use std::fmt;
use std::str::FromStr;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::field::{Field, object_field};
use super::packages::Packages;
use super::status::Status;

/// A request for a custom notebook image.
///
/// Every field is a [`Field`], so that all errors of a resource are reported at once.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[kube(
    group = "meteor.zone",
    version = "v1alpha1",
    kind = "CustomNBImage",
    plural = "customnbimages",
    singular = "customnbimage",
    shortname = "cnbi",
    category = "all",
    namespaced,
    status = "Status",
    doc = "A custom notebook image for Open Data Hub: imported, built from a package list, or built from a Git repository.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.buildType"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Step", type_ = "string", json_path = ".status.step"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(
        name = "Image",
        type_ = "string",
        json_path = ".status.image.reference",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// How the image is created: `ImageImport`, `PackageList` or `GitRepository`. It cannot be changed later.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "BuildType")]
    pub build_type: Field<String>,
    /// The image to import, with a tag or digest. Required for ImageImport.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "String")]
    pub from_image: Field<String>,
    /// The Secret with credentials for private images, in the namespace of the resource.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "PullSecretReference")]
    pub image_pull_secret: Field<PullSecretReference>,
    /// The base image, selected by operating system and Python version. For PackageList, alternatively `builderImage`.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "RuntimeEnvironment")]
    pub runtime_environment: Field<RuntimeEnvironment>,
    /// The base image. For PackageList, alternatively `runtimeEnvironment`. Optional for GitRepository: the default for a repository without a
    /// Containerfile is configured in the cluster.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "String")]
    pub builder_image: Field<String>,
    /// The Python packages to install, one PEP 508 requirement per item. Required for PackageList.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "Vec<String>")]
    pub package_versions: Field<Packages>,
    /// The Git repository to build: an https or ssh clone URL. Required for GitRepository.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "String")]
    pub repository_url: Field<String>,
    /// Branch, tag or commit to build. Default: the default branch. For GitRepository.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "String")]
    pub git_ref: Field<String>,
    /// The namespace of the ImageStream. Set by admission if missing; it cannot be changed later.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "String")]
    pub target_namespace: Field<String>,
}

/// `spec.imagePullSecret`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct PullSecretReference {
    /// Name of a Secret of type `kubernetes.io/dockerconfigjson`.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "String")]
    pub name: Field<String>,
}
object_field!(PullSecretReference);

/// `spec.runtimeEnvironment`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeEnvironment {
    /// Operating system, for example `ubi`.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "String")]
    pub os_name: Field<String>,
    /// Version of the operating system in quotes, for example `"9"`.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "String")]
    pub os_version: Field<String>,
    /// Python version in quotes, for example `"3.12"`.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "String")]
    pub python_version: Field<String>,
}
object_field!(RuntimeEnvironment);
object_field!(Spec);

/// The three build types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum BuildType {
    /// Import an existing image.
    ImageImport,
    /// Install Python packages on a base image.
    PackageList,
    /// Build a Git repository.
    GitRepository,
}

impl BuildType {
    /// All build types.
    pub const ALL: [Self; 3] = [Self::ImageImport, Self::PackageList, Self::GitRepository];

    /// The name in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ImageImport => "ImageImport",
            Self::PackageList => "PackageList",
            Self::GitRepository => "GitRepository",
        }
    }
}

impl fmt::Display for BuildType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The text is not a build type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a build type")]
pub struct UnknownBuildType;

impl FromStr for BuildType {
    type Err = UnknownBuildType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|build_type| build_type.as_str() == text)
            .ok_or(UnknownBuildType)
    }
}

impl Spec {
    /// The build type, if it is valid.
    pub fn build_type(&self) -> Option<BuildType> {
        self.build_type.text()?.parse().ok()
    }

    /// The name of the pull secret, if set.
    pub fn pull_secret(&self) -> Option<&str> {
        self.image_pull_secret.value()?.name.text()
    }

    /// The items of the package list, up to the limit.
    pub fn package_items(&self) -> &[Field<String>] {
        self.package_versions.value().map_or(&[], Packages::items)
    }

    /// The items that are text, with their index.
    pub fn packages(&self) -> impl Iterator<Item = (usize, &str)> {
        let items = self.package_items().iter().enumerate();
        items.filter_map(|(index, item)| Some((index, item.text()?)))
    }
}
