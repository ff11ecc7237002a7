//! Field paths of the resource, as a closed set of fields.
//!
//! Findings are sorted by [`FieldId`], whose order is that of the fields in a manifest.

use std::fmt;

use crate::api::annotations;

/// A field of the resource, in the order of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldId {
    /// The object itself.
    Object,
    /// `metadata`
    Metadata,
    /// `metadata.name`
    Name,
    /// `metadata.namespace`
    Namespace,
    /// `metadata.annotations`
    Annotations,
    /// `metadata.annotations[opendatahub.io/notebook-image-name]`
    DisplayName,
    /// `metadata.annotations[opendatahub.io/notebook-image-desc]`
    Description,
    /// `metadata.annotations[opendatahub.io/notebook-image-creator]`
    Creator,
    /// `spec`
    Spec,
    /// `spec.buildType`
    BuildType,
    /// `spec.fromImage`
    FromImage,
    /// `spec.imagePullSecret`
    ImagePullSecret,
    /// `spec.imagePullSecret.name`
    ImagePullSecretName,
    /// `spec.runtimeEnvironment`
    RuntimeEnvironment,
    /// `spec.runtimeEnvironment.osName`
    OsName,
    /// `spec.runtimeEnvironment.osVersion`
    OsVersion,
    /// `spec.runtimeEnvironment.pythonVersion`
    PythonVersion,
    /// `spec.builderImage`
    BuilderImage,
    /// `spec.packageVersions`
    PackageVersions,
    /// `spec.repositoryUrl`
    RepositoryUrl,
    /// `spec.gitRef`
    GitRef,
    /// `spec.targetNamespace`
    TargetNamespace,
}

impl FieldId {
    /// Every field, in the order of a manifest.
    pub const ALL: [Self; 22] = [
        Self::Object,
        Self::Metadata,
        Self::Name,
        Self::Namespace,
        Self::Annotations,
        Self::DisplayName,
        Self::Description,
        Self::Creator,
        Self::Spec,
        Self::BuildType,
        Self::FromImage,
        Self::ImagePullSecret,
        Self::ImagePullSecretName,
        Self::RuntimeEnvironment,
        Self::OsName,
        Self::OsVersion,
        Self::PythonVersion,
        Self::BuilderImage,
        Self::PackageVersions,
        Self::RepositoryUrl,
        Self::GitRef,
        Self::TargetNamespace,
    ];

    /// The keys from the root of the object to the field.
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Object => &[],
            Self::Metadata => &["metadata"],
            Self::Name => &["metadata", "name"],
            Self::Namespace => &["metadata", "namespace"],
            Self::Annotations => &["metadata", "annotations"],
            Self::DisplayName => &["metadata", "annotations", annotations::DISPLAY_NAME],
            Self::Description => &["metadata", "annotations", annotations::DESCRIPTION],
            Self::Creator => &["metadata", "annotations", annotations::CREATOR],
            Self::Spec => &["spec"],
            Self::BuildType => &["spec", "buildType"],
            Self::FromImage => &["spec", "fromImage"],
            Self::ImagePullSecret => &["spec", "imagePullSecret"],
            Self::ImagePullSecretName => &["spec", "imagePullSecret", "name"],
            Self::RuntimeEnvironment => &["spec", "runtimeEnvironment"],
            Self::OsName => &["spec", "runtimeEnvironment", "osName"],
            Self::OsVersion => &["spec", "runtimeEnvironment", "osVersion"],
            Self::PythonVersion => &["spec", "runtimeEnvironment", "pythonVersion"],
            Self::BuilderImage => &["spec", "builderImage"],
            Self::PackageVersions => &["spec", "packageVersions"],
            Self::RepositoryUrl => &["spec", "repositoryUrl"],
            Self::GitRef => &["spec", "gitRef"],
            Self::TargetNamespace => &["spec", "targetNamespace"],
        }
    }

    /// Names of the fields directly below this one.
    pub fn children(self) -> impl Iterator<Item = &'static str> {
        let keys = self.keys();
        Self::ALL
            .into_iter()
            .map(Self::keys)
            .filter(move |below| below.len() == keys.len() + 1 && below.starts_with(keys))
            .map(move |below| below[keys.len()])
    }

    /// The path of the field.
    pub fn path(self) -> Path {
        Path {
            field: self,
            index: None,
            unknown_key: None,
        }
    }

    /// The path of a list item.
    pub fn item(self, index: usize) -> Path {
        Path {
            field: self,
            index: Some(index),
            unknown_key: None,
        }
    }

    /// The path of an unknown key in the field.
    pub fn unknown_key(self, key: &str) -> Path {
        Path {
            field: self,
            index: None,
            unknown_key: Some(key.to_owned()),
        }
    }
}

/// A path in the resource: a field, with an optional list index or unknown key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The field.
    pub field: FieldId,
    /// Index of a list item, from 0.
    pub index: Option<usize>,
    /// Name of an unknown key in the field.
    pub unknown_key: Option<String>,
}

impl fmt::Display for Path {
    /// In the format of Kubernetes: dots between keys, brackets around indexes and around keys that contain dots.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.field.keys().iter().copied().chain(self.unknown_key.as_deref());
        for (position, key) in keys.enumerate() {
            if key.contains('.') {
                write!(formatter, "[{key}]")?;
            } else if position == 0 {
                formatter.write_str(key)?;
            } else {
                write!(formatter, ".{key}")?;
            }
        }
        match self.index {
            Some(index) => write!(formatter, "[{index}]"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_print_as_kubernetes_prints_them() {
        assert_eq!(FieldId::FromImage.path().to_string(), "spec.fromImage");
        assert_eq!(FieldId::PackageVersions.item(3).to_string(), "spec.packageVersions[3]");
        assert_eq!(FieldId::Spec.unknown_key("fromImgae").to_string(), "spec.fromImgae");
        assert_eq!(
            FieldId::DisplayName.path().to_string(),
            "metadata.annotations[opendatahub.io/notebook-image-name]"
        );
    }

    #[test]
    fn all_is_complete_and_in_order() {
        assert!(FieldId::ALL.is_sorted());
        assert_eq!(FieldId::ALL.len(), FieldId::TargetNamespace as usize + 1);
    }
}
