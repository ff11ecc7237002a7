//! What is filled in where a user left something out.
//!
//! The webhook turns [`Defaults`] into a patch, the offline check and the controller apply them in memory. Only what is
//! unset is ever set, so doing it twice changes nothing.

use crate::admission_input::AdmissionInput;
use crate::api::unvalidated::Annotations;
use crate::api::{Field, Metadata, UnvalidatedImage};
use crate::config::Config;

/// The values that are missing from an object and have a default.
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
    /// What is missing from `subject.object`. `requester` is the user who makes the request, where there is one.
    pub fn of(subject: &AdmissionInput<'_>, config: &Config, requester: Option<&str>) -> Self {
        let object = subject.object;
        if object.is_being_deleted() {
            return Self::default();
        }
        let absent = |field: Option<&Field<String>>| field.is_none_or(Field::is_absent);
        // What is no object cannot be added to; CNB000 says so.
        let annotatable = object.metadata.wrong().is_none()
            && object
                .metadata
                .value()
                .is_none_or(|metadata| metadata.annotations.wrong().is_none());
        let annotations = object.annotations();
        Self {
            target_namespace: object
                .spec
                .value()
                .filter(|spec| spec.target_namespace.is_absent())
                .and_then(|_| target_namespace(subject, config)),
            display_name: (annotatable && absent(annotations.map(|all| &all.display_name)))
                .then(|| {
                    subject
                        .old
                        .map_or_else(|| object.name(), UnvalidatedImage::display_name)
                })
                .flatten()
                .map(str::to_owned),
            creator: (annotatable && absent(annotations.map(|all| &all.creator)))
                .then(|| subject.old.map_or(requester, UnvalidatedImage::creator))
                .flatten()
                .map(str::to_owned),
        }
    }

    /// Nothing is missing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Fills in what is missing.
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

fn target_namespace(subject: &AdmissionInput<'_>, config: &Config) -> Option<String> {
    let configured = || config.default_target(subject.object.namespace()).map(str::to_owned);
    let Some(old) = subject.old else { return configured() };
    let before = old.spec.value().and_then(|spec| spec.target_namespace.text());
    match before {
        Some(namespace) => Some(namespace.to_owned()),
        // A resource that got in without one keeps none as long as its spec is left alone: a default that comes with a
        // finalizer's patch would raise the generation and build the image again.
        None if subject.spec_is_unchanged() => None,
        None => configured(),
    }
}
