//! Default values.
//!
//! The webhook converts [`Defaults`] to a patch; the offline check and the controller apply them in memory. Only missing fields are set, so
//! defaulting is idempotent.

use crate::admission_input::AdmissionInput;
use crate::api::unvalidated::Annotations;
use crate::api::{Field, Metadata, UnvalidatedImage};
use crate::config::Config;

/// The default values of missing fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// For `spec.targetNamespace`.
    pub target_namespace: Option<String>,
    /// For the display name annotation.
    pub display_name: Option<String>,
    /// For the creator annotation.
    pub creator: Option<String>,
}

impl Defaults {
    /// The defaults for `input.object`. `requester` is the requesting user, if known.
    pub fn of(input: &AdmissionInput<'_>, config: &Config, requester: Option<&str>) -> Self {
        let object = input.object;
        if object.is_being_deleted() {
            return Self::default();
        }
        let absent = |field: Option<&Field<String>>| field.is_none_or(Field::is_absent);
        // CNB000 reports annotations that are not an object; nothing can be added to them.
        let annotatable = object.metadata.wrong_type().is_none()
            && object
                .metadata
                .value()
                .is_none_or(|metadata| metadata.annotations.wrong_type().is_none());
        let annotations = object.annotations();
        Self {
            target_namespace: object
                .spec
                .value()
                .filter(|spec| spec.target_namespace.is_absent())
                .and_then(|_| target_namespace(input, config)),
            display_name: (annotatable && absent(annotations.map(|all| &all.display_name)))
                .then(|| input.old.map_or_else(|| object.name(), UnvalidatedImage::display_name))
                .flatten()
                .map(str::to_owned),
            creator: (annotatable && absent(annotations.map(|all| &all.creator)))
                .then(|| input.old.map_or(requester, UnvalidatedImage::creator))
                .flatten()
                .map(str::to_owned),
        }
    }

    /// Whether no field needs a default.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Sets the missing fields.
    pub fn apply(self, object: &mut UnvalidatedImage) {
        let Self {
            target_namespace,
            display_name,
            creator,
        } = self;
        if let (Some(namespace), Field::Set(spec)) = (target_namespace, &mut object.spec) {
            spec.target_namespace = Field::Set(namespace);
        }
        if display_name.is_none() && creator.is_none() {
            return;
        }
        if object.metadata.is_absent() {
            object.metadata = Field::Set(Metadata::default());
        }
        let Field::Set(metadata) = &mut object.metadata else {
            return;
        };
        if metadata.annotations.is_absent() {
            metadata.annotations = Field::Set(Annotations::default());
        }
        let Field::Set(annotations) = &mut metadata.annotations else {
            return;
        };
        if let Some(display_name) = display_name {
            annotations.display_name = Field::Set(display_name);
        }
        if let Some(creator) = creator {
            annotations.creator = Field::Set(creator);
        }
    }
}

fn target_namespace(input: &AdmissionInput<'_>, config: &Config) -> Option<String> {
    let configured = || config.default_target(input.object.namespace()).map(str::to_owned);
    let Some(old) = input.old else { return configured() };
    let before = old.spec.value().and_then(|spec| spec.target_namespace.text());
    match before {
        Some(namespace) => Some(namespace.to_owned()),
        // A stored resource without target namespace keeps none while its spec is unchanged: a default that is added together with a
        // finalizer would increase the generation and start a new build.
        None if input.spec_is_unchanged() => None,
        None => configured(),
    }
}
