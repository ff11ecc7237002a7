//! The input of a rule, and the collector of its findings.

use std::borrow::Cow;

use crate::admission_input::{AdmissionInput, UnknownKey};
use crate::api::spec::RuntimeEnvironment;
use crate::api::{BuildType, Field, Spec, UnvalidatedImage};
use crate::config::Config;
use crate::facts::{Facts, Lookup};
use crate::grammar::dns;
use crate::grammar::image::ImageReference;
use crate::path::{FieldId, Path};
use crate::verdict::{Finding, HiddenValue, Level, NotChecked, Report};

use super::Rule;
use super::parsed::Parsed;
use super::secret_detection::may_hold_secret;

/// The object to validate and all known facts.
#[derive(Debug)]
pub struct Context<'a> {
    /// The new object.
    pub object: &'a UnvalidatedImage,
    /// Its spec; empty if it has none or of the wrong type.
    pub spec: &'a Spec,
    /// The stored object, for an update. Only rules about changes may use it; ratcheting is done elsewhere.
    pub old: Option<&'a UnvalidatedImage>,
    /// Unknown keys.
    pub unknown_keys: &'a [UnknownKey],
    /// The known facts.
    pub facts: &'a Facts,
    /// The configuration.
    pub config: &'a Config,
    pub(super) parsed: Parsed<'a>,
}

static EMPTY: Spec = Spec {
    build_type: Field::Absent,
    from_image: Field::Absent,
    image_pull_secret: Field::Absent,
    runtime_environment: Field::Absent,
    builder_image: Field::Absent,
    package_versions: Field::Absent,
    repository_url: Field::Absent,
    git_ref: Field::Absent,
    target_namespace: Field::Absent,
};

impl<'a> Context<'a> {
    pub(super) fn new(input: &AdmissionInput<'a>, facts: &'a Facts, config: &'a Config) -> Self {
        let AdmissionInput {
            object,
            old,
            unknown_keys,
        } = *input;
        Self {
            object,
            spec: object.spec.value().unwrap_or(&EMPTY),
            old,
            unknown_keys,
            facts,
            config,
            parsed: Parsed::default(),
        }
    }

    /// Whether the configuration is that of the cluster. Offline it may be unknown.
    pub fn has_cluster_config(&self) -> bool {
        self.facts.is_confirmed(&Lookup::Configuration) == Some(true)
    }

    /// The build type, if valid. CNB000 reports an invalid one.
    pub fn build_type(&self) -> Option<BuildType> {
        self.spec.build_type()
    }

    /// The namespace of the ImageStream: the field, or its default.
    pub fn target_namespace(&self) -> Option<&'a str> {
        match &self.spec.target_namespace {
            Field::Set(namespace) => Some(namespace),
            Field::Absent => self.config.default_target(self.object.namespace()),
            Field::WrongType(_) => None,
        }
    }

    /// The target namespace, if it is a valid name. Only then it may become part of an API request.
    pub fn valid_target_namespace(&self) -> Option<&'a str> {
        self.target_namespace().filter(|name| dns::validate_label(name).is_ok())
    }

    /// The lookup of the pull secret, if it has a valid name. Offline, the namespace may be empty; the lookup then has no result.
    pub fn pull_secret(&self) -> Option<Lookup> {
        let name = self
            .spec
            .pull_secret()
            .filter(|name| dns::validate_secret_name(name).is_ok())?;
        let namespace = self.object.namespace().unwrap_or_default();
        (namespace.is_empty() || dns::validate_label(namespace).is_ok()).then(|| Lookup::Secret {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The image that the build pulls, and the field that selects it: `fromImage`, `builderImage` or `runtimeEnvironment` (through the catalog).
    /// `None` if there is none, or it is invalid.
    pub fn pulled_image(&self) -> Option<(FieldId, Cow<'_, ImageReference>)> {
        if let Some(image) = self.images().first() {
            return Some((image.field, Cow::Borrowed(image.reference.as_ref().ok()?)));
        }
        let is_named = self.build_type() != Some(BuildType::PackageList) || self.spec.builder_image.text().is_some();
        let image = self.catalog_image().filter(|_| !is_named)?;
        Some((
            FieldId::RuntimeEnvironment,
            Cow::Owned(ImageReference::parse(image).ok()?),
        ))
    }

    fn catalog_image(&self) -> Option<&'a str> {
        let RuntimeEnvironment {
            os_name,
            os_version,
            python_version,
        } = self.spec.runtime_environment.value()?;
        let requested = (os_name.text()?, os_version.text()?, python_version.text()?);
        let entry = self.config.runtime_environments.iter().find(|entry| {
            requested
                == (
                    entry.os_name.as_str(),
                    entry.os_version.as_str(),
                    entry.python_version.as_str(),
                )
        })?;
        Some(&entry.builder_image)
    }
}

/// Collects the findings of one rule.
#[derive(Debug)]
pub struct Findings<'r> {
    pub(super) rule: &'static Rule,
    pub(super) level: Level,
    pub(super) report: &'r mut Report,
}

impl Findings<'_> {
    /// Adds a finding at the level of the rule. `value` is the complete value; `message` continues a sentence that begins with the field and the
    /// value.
    pub fn add(&mut self, path: impl Into<Path>, value: Option<&str>, message: impl Into<String>) -> &mut Finding {
        self.push(self.level, path.into(), value, message.into())
    }

    /// Adds a finding whose value may be a secret. It is used for ratcheting, but never shown.
    pub fn add_hidden(&mut self, path: impl Into<Path>, value: &str, message: impl Into<String>) -> &mut Finding {
        let finding = self.push(self.level, path.into(), None, message.into());
        finding.hidden = Some(HiddenValue(value.to_owned()));
        finding
    }

    /// Adds a finding and shows its value only if it does not look like a secret.
    pub fn add_unless_secret(
        &mut self,
        path: impl Into<Path>,
        value: &str,
        message: impl Into<String>,
    ) -> &mut Finding {
        if may_hold_secret(value) {
            self.add_hidden(path, value, message)
        } else {
            self.add(path, Some(value), message)
        }
    }

    /// Adds a finding at level `Warn` at most.
    pub fn warn(&mut self, path: impl Into<Path>, value: Option<&str>, message: impl Into<String>) -> &mut Finding {
        self.push(self.level.min(Level::Warn), path.into(), value, message.into())
    }

    /// [`Findings::add_unless_secret`] at level `Warn` at most.
    pub fn warn_unless_secret(
        &mut self,
        path: impl Into<Path>,
        value: &str,
        message: impl Into<String>,
    ) -> &mut Finding {
        let level = self.level.min(Level::Warn);
        let finding = self.add_unless_secret(path, value, message);
        finding.level = level;
        finding
    }

    /// Records that the rule was not checked, because the result of `lookup` is unknown.
    pub fn not_checked(&mut self, path: impl Into<Path>, lookup: Lookup) {
        self.report.not_checked.push(NotChecked {
            rule: self.rule,
            level: self.level,
            path: path.into(),
            lookup,
        });
    }

    fn push(&mut self, level: Level, path: Path, value: Option<&str>, message: String) -> &mut Finding {
        self.report.findings.push(Finding {
            rule: self.rule,
            level,
            path,
            value: value.map(str::to_owned),
            message,
            hint: None,
            replacement: None,
            hidden: None,
        });
        let last = self.report.findings.len() - 1;
        &mut self.report.findings[last]
    }
}

impl From<FieldId> for Path {
    fn from(field: FieldId) -> Self {
        field.path()
    }
}
