//! A `CustomNBImage` as it was sent: nothing about it has been proven yet.
//!
//! Holds what the rules read and skips the rest (`managedFields`, `status`, other annotations) while parsing, so that a
//! review costs no trees that nobody looks at.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::annotations;
use super::field::{Expected, Field, Found, expected_object};
use super::spec::{CustomNBImage, Spec};

/// A resource that nobody has judged yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnvalidatedImage {
    /// `apiVersion`, to tell our kind from others.
    #[serde(default)]
    pub api_version: Field<String>,
    /// `kind`, to tell our kind from others.
    #[serde(default)]
    pub kind: Field<String>,
    /// What the rules read of `metadata`.
    #[serde(default)]
    pub metadata: Field<Metadata>,
    /// The request itself.
    #[serde(default)]
    pub spec: Field<Spec>,
}
expected_object!(UnvalidatedImage);

/// What the rules read of `metadata`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Name; absent while the API server has yet to make one from `generateName`.
    #[serde(default)]
    pub name: Field<String>,
    /// Prefix of a name to be made.
    #[serde(default)]
    pub generate_name: Field<String>,
    /// Namespace; offline it may be left out.
    #[serde(default)]
    pub namespace: Field<String>,
    /// The annotations that mean something to us.
    #[serde(default)]
    pub annotations: Field<Annotations>,
    /// Set while finalizers are being waited for.
    #[serde(default)]
    pub deletion_timestamp: Field<String>,
}
expected_object!(Metadata);

/// The annotations that mean something to us. Others are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// [`annotations::DISPLAY_NAME`]
    pub display_name: Field<String>,
    /// [`annotations::DESCRIPTION`]
    pub description: Field<String>,
    /// [`annotations::CREATOR`]
    pub creator: Field<String>,
    /// An annotation of another key whose value is not text; Kubernetes takes only text.
    pub wrong: Option<(String, Found)>,
}
expected_object!(Annotations);

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnnotationsVisitor)
    }
}

struct AnnotationsVisitor;

impl<'de> Visitor<'de> for AnnotationsVisitor {
    type Value = Annotations;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("annotations")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
        let mut read = Annotations::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                annotations::DISPLAY_NAME => read.display_name = map.next_value()?,
                annotations::DESCRIPTION => read.description = map.next_value()?,
                annotations::CREATOR => read.creator = map.next_value()?,
                _ => {
                    if let Field::Wrong(found) = map.next_value::<Field<Text>>()? {
                        read.wrong.get_or_insert((key, found));
                    }
                }
            }
        }
        Ok(read)
    }
}

/// Some text whose content does not matter; a long annotation is not kept.
struct Text;

impl Expected<'_> for Text {
    const TYPE: &'static str = "string";

    fn from_text(_: String) -> Result<Self, Found> {
        Ok(Self)
    }
}

impl UnvalidatedImage {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// The text is not JSON, or not an object.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// Whether the object says that it is a `CustomNBImage` of a version that we know.
    pub fn is_ours(&self) -> bool {
        self.kind.text() == Some(super::KIND) && self.api_version.text() == Some(super::API_VERSION)
    }

    /// The name, once there is one.
    pub fn name(&self) -> Option<&str> {
        self.metadata.value()?.name.text()
    }

    /// The namespace, where it is known.
    pub fn namespace(&self) -> Option<&str> {
        self.metadata.value()?.namespace.text()
    }

    /// The annotations that mean something to us.
    pub fn annotations(&self) -> Option<&Annotations> {
        self.metadata.value()?.annotations.value()
    }

    /// Whether deletion has begun and finalizers are waited for.
    pub fn is_being_deleted(&self) -> bool {
        self.metadata
            .value()
            .is_some_and(|metadata| metadata.deletion_timestamp.text().is_some())
    }

    /// Display name, as annotated.
    pub fn display_name(&self) -> Option<&str> {
        self.annotations()?.display_name.text()
    }

    /// Description, as annotated.
    pub fn description(&self) -> Option<&str> {
        self.annotations()?.description.text()
    }

    /// Creator, as annotated.
    pub fn creator(&self) -> Option<&str> {
        self.annotations()?.creator.text()
    }
}

impl From<&CustomNBImage> for UnvalidatedImage {
    fn from(resource: &CustomNBImage) -> Self {
        let text = |value: &Option<String>| value.clone().map_or(Field::Absent, Field::Set);
        let annotation = |key: &str| {
            let value = resource.metadata.annotations.as_ref().and_then(|all| all.get(key));
            value.cloned().map_or(Field::Absent, Field::Set)
        };
        Self {
            api_version: Field::Set(super::API_VERSION.to_owned()),
            kind: Field::Set(super::KIND.to_owned()),
            metadata: Field::Set(Metadata {
                name: text(&resource.metadata.name),
                generate_name: text(&resource.metadata.generate_name),
                namespace: text(&resource.metadata.namespace),
                annotations: Field::Set(Annotations {
                    display_name: annotation(annotations::DISPLAY_NAME),
                    description: annotation(annotations::DESCRIPTION),
                    creator: annotation(annotations::CREATOR),
                    wrong: None,
                }),
                deletion_timestamp: text(&resource.metadata.deletion_timestamp.as_ref().map(|at| at.0.to_string())),
            }),
            spec: Field::Set(resource.spec.clone()),
        }
    }
}
