//! A `CustomNBImage` before validation.
//!
//! Contains only the fields that the rules read. Other fields (`managedFields`, `status`, other annotations) are skipped while parsing.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::annotations;
use super::field::{ActualType, Field, FieldType, object_field};
use super::spec::{CustomNBImage, Spec};

/// A resource before validation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnvalidatedImage {
    /// `apiVersion`.
    #[serde(default)]
    pub api_version: Field<String>,
    /// `kind`.
    #[serde(default)]
    pub kind: Field<String>,
    /// The fields of `metadata` that the rules read.
    #[serde(default)]
    pub metadata: Field<Metadata>,
    /// `spec`.
    #[serde(default)]
    pub spec: Field<Spec>,
}
object_field!(UnvalidatedImage);

/// The fields of `metadata` that the rules read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Name; absent before the API server generates one from `generateName`.
    #[serde(default)]
    pub name: Field<String>,
    /// Prefix of a generated name.
    #[serde(default)]
    pub generate_name: Field<String>,
    /// Namespace; offline it may be missing.
    #[serde(default)]
    pub namespace: Field<String>,
    /// The annotations that CNBi uses.
    #[serde(default)]
    pub annotations: Field<Annotations>,
    /// Set while the deletion waits for finalizers.
    #[serde(default)]
    pub deletion_timestamp: Field<String>,
}
object_field!(Metadata);

/// The annotations that CNBi uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// [`annotations::DISPLAY_NAME`]
    pub display_name: Field<String>,
    /// [`annotations::DESCRIPTION`]
    pub description: Field<String>,
    /// [`annotations::CREATOR`]
    pub creator: Field<String>,
    /// Another annotation whose value is not text, which Kubernetes rejects.
    pub wrong_type: Option<(String, ActualType)>,
}
object_field!(Annotations);

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
                    if let Field::WrongType(found) = map.next_value::<Field<Text>>()? {
                        read.wrong_type.get_or_insert((key, found));
                    }
                }
            }
        }
        Ok(read)
    }
}

/// Text whose content is discarded.
struct Text;

impl FieldType<'_> for Text {
    const TYPE: &'static str = "text";

    fn from_text(_: String) -> Result<Self, ActualType> {
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

    /// Whether `kind` and `apiVersion` are those of `CustomNBImage`.
    pub fn is_ours(&self) -> bool {
        self.kind.text() == Some(super::KIND) && self.api_version.text() == Some(super::API_VERSION)
    }

    /// The name, if set.
    pub fn name(&self) -> Option<&str> {
        self.metadata.value()?.name.text()
    }

    /// The namespace, if known.
    pub fn namespace(&self) -> Option<&str> {
        self.metadata.value()?.namespace.text()
    }

    /// The annotations that CNBi uses.
    pub fn annotations(&self) -> Option<&Annotations> {
        self.metadata.value()?.annotations.value()
    }

    /// Whether the resource is being deleted.
    pub fn is_being_deleted(&self) -> bool {
        self.metadata
            .value()
            .is_some_and(|metadata| metadata.deletion_timestamp.text().is_some())
    }

    /// The display name annotation.
    pub fn display_name(&self) -> Option<&str> {
        self.annotations()?.display_name.text()
    }

    /// The description annotation.
    pub fn description(&self) -> Option<&str> {
        self.annotations()?.description.text()
    }

    /// The creator annotation.
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
                    wrong_type: None,
                }),
                deletion_timestamp: text(&resource.metadata.deletion_timestamp.as_ref().map(|at| at.0.to_string())),
            }),
            spec: Field::Set(resource.spec.clone()),
        }
    }
}
