//! What a user asks for: `spec`.

#![allow(
    clippy::duplicated_attributes,
    reason = "each printcolumn has a type of its own; the lint sees one list"
)]

use std::fmt;
use std::str::FromStr;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::field::{Field, expected_object};
use super::packages::Packages;
use super::status::Status;

/// A request for a custom notebook image.
///
/// Every field is a [`Field`], so that a resource with several mistakes can be read whole and told all of them.
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
    doc = "A request for a notebook image that Open Data Hub can spawn: imported, built from a package list, or built from a Git repository.",
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
    /// How the image comes to be: `ImageImport`, `PackageList` or `GitRepository`. It cannot be changed later.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "BuildType")]
    pub build_type: Field<String>,
    /// The image to import, with a tag or a digest. For ImageImport.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "String")]
    pub from_image: Field<String>,
    /// The Secret, in the resource's own namespace, that private images are pulled with.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "PullSecretReference")]
    pub image_pull_secret: Field<PullSecretReference>,
    /// What to build on, named by operating system and Python version. For PackageList; or else `builderImage`.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "RuntimeEnvironment")]
    pub runtime_environment: Field<RuntimeEnvironment>,
    /// The image to build on. For PackageList (or else `runtimeEnvironment`) and, if wanted, GitRepository: a repository without
    /// a Containerfile is built on an image of the cluster's configuration otherwise.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "String")]
    pub builder_image: Field<String>,
    /// The Python packages to install, one PEP 508 requirement an item. For PackageList.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "Vec<String>")]
    pub package_versions: Field<Packages>,
    /// The Git repository to build: an https or ssh clone URL. For GitRepository.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "String")]
    pub repository_url: Field<String>,
    /// Branch, tag or commit to build; without it, the repository's default branch. For GitRepository.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "String")]
    pub git_ref: Field<String>,
    /// The namespace in which the ImageStream will live. Filled in by admission; it cannot be changed later.
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
expected_object!(PullSecretReference);

/// `spec.runtimeEnvironment`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeEnvironment {
    /// Operating system, for example `ubi`.
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "String")]
    pub os_name: Field<String>,
    /// Version of the operating system, for example `"9"` (in quotes: it is text).
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "String")]
    pub os_version: Field<String>,
    /// Python version, for example `"3.12"` (in quotes: it is text).
    #[serde(default, skip_serializing_if = "Field::is_absent")]
    #[schemars(with = "String")]
    pub python_version: Field<String>,
}
expected_object!(RuntimeEnvironment);
expected_object!(Spec);

/// The three ways in which an image can come to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum BuildType {
    /// Import an image that exists.
    ImageImport,
    /// Install Python packages on a base image.
    PackageList,
    /// Build a Git repository.
    GitRepository,
}

impl BuildType {
    /// All of them, in the order in which the documentation lists them.
    pub const ALL: [Self; 3] = [Self::ImageImport, Self::PackageList, Self::GitRepository];

    /// As it stands in a manifest.
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

/// The text is none of the three build types.
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
    /// The build type, when there is a legal one.
    pub fn build_type(&self) -> Option<BuildType> {
        self.build_type.text()?.parse().ok()
    }

    /// Name of the pull Secret, when one is named.
    pub fn pull_secret(&self) -> Option<&str> {
        self.image_pull_secret.value()?.name.text()
    }

    /// The items of the package list, as many as may be written.
    pub fn package_items(&self) -> &[Field<String>] {
        self.package_versions.value().map_or(&[], Packages::items)
    }

    /// Those that are text, with their index in the list.
    pub fn packages(&self) -> impl Iterator<Item = (usize, &str)> {
        let items = self.package_items().iter().enumerate();
        items.filter_map(|(index, item)| Some((index, item.text()?)))
    }
}
