//! What a rule sees, and how it says what it found.

use std::borrow::Cow;

use crate::admission_input::{AdmissionInput, UnknownKey};
use crate::api::spec::RuntimeEnvironment;
use crate::api::{BuildType, Field, Spec, UnvalidatedImage};
use crate::config::Config;
use crate::facts::{Facts, Lookup};
use crate::grammar::dns;
use crate::grammar::image::ImageReference;
use crate::path::{FieldId, Path};
use crate::verdict::{Finding, Hidden, Level, Report, Undecided};

use super::Rule;
use super::parsed::Parsed;
use super::secrecy::may_hold_secret;

/// One object under judgement and all that is known.
#[derive(Debug)]
pub struct Context<'a> {
    /// The object as it would be stored.
    pub object: &'a UnvalidatedImage,
    /// Its spec; empty where there is none to read.
    pub spec: &'a Spec,
    /// The stored object that this one replaces. Only rules about change may look at it: ratcheting is not their business.
    pub old: Option<&'a UnvalidatedImage>,
    /// Keys that no field has.
    pub unknown_keys: &'a [UnknownKey],
    /// What is known of the world outside.
    pub facts: &'a Facts,
    /// The admin's policy.
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
    pub(super) fn new(subject: &AdmissionInput<'a>, facts: &'a Facts, config: &'a Config) -> Self {
        let AdmissionInput {
            object,
            old,
            unknown_keys,
        } = *subject;
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

    /// Whether the configuration is the cluster's own. Offline, a policy that is at its default may be another one there.
    pub fn knows_configuration(&self) -> bool {
        self.facts.holds(&Lookup::Configuration) == Some(true)
    }

    /// The build type, when it is a legal one. Rules about one build type say nothing otherwise: CNB000 speaks.
    pub fn build_type(&self) -> Option<BuildType> {
        self.spec.build_type()
    }

    /// The namespace that the ImageStream will live in: what is set, or what the default would be.
    pub fn target_namespace(&self) -> Option<&'a str> {
        match &self.spec.target_namespace {
            Field::Set(namespace) => Some(namespace),
            Field::Absent => self.config.default_target(self.object.namespace()),
            Field::Wrong(_) => None,
        }
    }

    /// The same, when it is a legal name; only then may it become part of a question to the API server.
    pub fn legal_target_namespace(&self) -> Option<&'a str> {
        self.target_namespace().filter(|name| dns::label(name).is_ok())
    }

    /// The question for the pull Secret, when one is named by a legal name. Offline the resource's namespace may not be
    /// known; the question then has none, and nobody can answer it.
    pub fn pull_secret(&self) -> Option<Lookup> {
        let name = self.spec.pull_secret().filter(|name| dns::secret_name(name).is_ok())?;
        let namespace = self.object.namespace().unwrap_or_default();
        (namespace.is_empty() || dns::label(namespace).is_ok()).then(|| Lookup::Secret {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The image that the build pulls as its input, and the field that chose it: the imported image, the builder image, or
    /// the one that the catalog has for the runtime environment. `None` where there is none, or none that is legal.
    pub fn pulled_image(&self) -> Option<(FieldId, Cow<'_, ImageReference>)> {
        if let Some(image) = self.images().first() {
            return Some((image.at, Cow::Borrowed(image.reference.as_ref().ok()?)));
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
        let asked = (os_name.text()?, os_version.text()?, python_version.text()?);
        let entry = self.config.runtime_environments.iter().find(|entry| {
            asked
                == (
                    entry.os_name.as_str(),
                    entry.os_version.as_str(),
                    entry.python_version.as_str(),
                )
        })?;
        Some(&entry.builder_image)
    }
}

/// Collects what one rule finds.
#[derive(Debug)]
pub struct Findings<'r> {
    pub(super) rule: &'static Rule,
    pub(super) level: Level,
    pub(super) report: &'r mut Report,
}

impl Findings<'_> {
    /// Something is wrong, at the rule's level. `value` is what the user wrote, whole; `message` ends a sentence that
    /// begins with the field and the value.
    pub fn add(&mut self, path: impl Into<Path>, value: Option<&str>, message: impl Into<String>) -> &mut Finding {
        self.push(self.level, path.into(), value, message.into())
    }

    /// The same where `value` may be a secret: ratcheting knows it, and nobody is shown it.
    pub fn add_hidden(&mut self, path: impl Into<Path>, value: &str, message: impl Into<String>) -> &mut Finding {
        let finding = self.push(self.level, path.into(), None, message.into());
        finding.hidden = Some(Hidden(value.to_owned()));
        finding
    }

    /// The same where `value` is text that somebody may have put a secret into: shown only where it looks like none.
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

    /// Something is questionable: never more than a warning, whatever the rule's level.
    pub fn warn(&mut self, path: impl Into<Path>, value: Option<&str>, message: impl Into<String>) -> &mut Finding {
        self.push(self.level.min(Level::Warn), path.into(), value, message.into())
    }

    /// [`Findings::warn`] for text that somebody may have put a secret into.
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

    /// It cannot be said whether something is wrong until `need` is known.
    pub fn undecided(&mut self, path: impl Into<Path>, need: Lookup) {
        self.report.undecided.push(Undecided {
            rule: self.rule,
            level: self.level,
            path: path.into(),
            need,
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
    fn from(at: FieldId) -> Self {
        at.whole()
    }
}
