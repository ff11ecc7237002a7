//! From a question to an answer, without asking anybody: which facts are wanted, what is filled in, what is denied.
//!
//! Pure. [`crate::reviewer`] reads the facts in between.

use cnbi_shared::admission_input::AdmissionInput;
use cnbi_shared::api::Field;
use cnbi_shared::config::Config;
use cnbi_shared::defaults::Defaults;
use cnbi_shared::facts::{Facts, Lookup};
use cnbi_shared::rules;
use cnbi_shared::verdict::Report;
use json_patch::Patch;

use crate::patch;
use crate::review::Question;

/// Judges the object that is asked about.
pub fn judge(question: &Question<'_>, facts: &Facts, config: &Config) -> Report {
    rules::evaluate(&question.subject(), facts, config)
}

/// What has to be found out before `report`, made of `known` alone, can be complete. On an update this includes what the
/// judgement of the old object hangs on, because what was wrong before is forgiven.
pub fn needs(question: &Question<'_>, report: &Report, known: &Facts, config: &Config) -> Vec<Lookup> {
    let mut needs: Vec<Lookup> = report.needs().into_iter().cloned().collect();
    if needs.is_empty() {
        return needs;
    }
    if let Some(old) = &question.old {
        let before = rules::evaluate(&AdmissionInput::create(old), known, config);
        needs.extend(before.needs().into_iter().cloned());
        needs.sort_unstable();
        needs.dedup();
    }
    needs
}

/// Whether the schema, which the API server applies after `/mutate`, would refuse the object. The user would then see
/// nothing but the schema's complaint, so `/mutate` itself has to say everything. The schema states fixed rules only,
/// so taking every fixed rule for one of the schema's denies nothing that would not be denied anyway.
pub fn would_never_be_validated(report: &Report) -> bool {
    report.denials().any(|finding| finding.rule.is_fixed)
}

/// What is filled into an object, and where a filled in target namespace came from.
#[derive(Debug)]
pub struct Defaulted {
    /// For the API server.
    pub patch: Option<Patch>,
    /// For the audit log.
    pub target_source: Option<TargetSource>,
}

/// Where a defaulted target namespace came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetSource {
    /// From the object that is stored.
    Stored,
    /// From the configuration.
    Configuration,
    /// The configuration names none, so it is the resource's own namespace.
    Own,
}

/// Fills the defaults into the object in memory, and says how to do the same to the object that was sent.
pub fn default(question: &mut Question<'_>, config: &Config) -> Defaulted {
    let defaults = Defaults::of(&question.subject(), config, question.user.name());
    let patch = patch::of(&defaults, &question.object);
    let target_source = defaults.target_namespace.as_ref().map(|_| {
        let stored = question.old.as_ref().and_then(|old| old.spec.value());
        if stored.is_some_and(|spec| matches!(spec.target_namespace, Field::Set(_))) {
            TargetSource::Stored
        } else if config.target_namespace.default.is_empty() {
            TargetSource::Own
        } else {
            TargetSource::Configuration
        }
    });
    defaults.apply(&mut question.object);
    Defaulted { patch, target_source }
}
