//! Decides about a request without I/O: applies defaults, evaluates the rules and names the lookups that they need.
//!
//! [`crate::reviewer`] does the lookups.

use cnbi_shared::admission_input::AdmissionInput;
use cnbi_shared::api::Field;
use cnbi_shared::config::Config;
use cnbi_shared::defaults::Defaults;
use cnbi_shared::facts::{Facts, Lookup};
use cnbi_shared::rules;
use cnbi_shared::verdict::Report;
use json_patch::Patch;

use crate::admission_request::AdmissionRequest;
use crate::patch;

/// Evaluates the rules on the object of a request.
pub fn evaluate(request: &AdmissionRequest<'_>, facts: &Facts, config: &Config) -> Report {
    rules::evaluate(&request.input(), facts, config)
}

/// The lookups that complete `report`, which was made with `known` facts. On an update they include those for the stored object,
/// because errors that it already has are only warnings.
pub fn lookups(request: &AdmissionRequest<'_>, report: &Report, known: &Facts, config: &Config) -> Vec<Lookup> {
    let mut lookups: Vec<Lookup> = report.pending_lookups().into_iter().cloned().collect();
    if lookups.is_empty() {
        return lookups;
    }
    if let Some(old) = &request.old {
        let stored = rules::evaluate(&AdmissionInput::create(old), known, config);
        lookups.extend(stored.pending_lookups().into_iter().cloned());
        lookups.sort_unstable();
        lookups.dedup();
    }
    lookups
}

/// Whether the schema of the CRD might reject the object.
///
/// The API server validates the schema between `/mutate` and `/validate`. If it rejects the object, the user sees its errors only,
/// so `/mutate` has to report all errors itself. The schema has fixed rules only; this is true for any fixed rule, since the
/// object is rejected in either case.
pub fn schema_might_reject(report: &Report) -> bool {
    report.denials().any(|finding| finding.rule.is_fixed)
}

/// Defaults that were applied to an object.
#[derive(Debug)]
pub struct AppliedDefaults {
    /// The same change for the API server.
    pub patch: Option<Patch>,
    /// The source of a defaulted target namespace, for the audit log.
    pub target_source: Option<TargetSource>,
}

/// The source of a defaulted target namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetSource {
    /// The stored object.
    Stored,
    /// The configuration.
    Configuration,
    /// The namespace of the resource, because the configuration has no default.
    Own,
}

/// Applies the defaults to the object in memory, and returns the same change as a patch.
pub fn apply_defaults(request: &mut AdmissionRequest<'_>, config: &Config) -> AppliedDefaults {
    let defaults = Defaults::of(&request.input(), config, request.user.name());
    let patch = patch::of(&defaults, &request.object);
    let target_source = defaults.target_namespace.as_ref().map(|_| {
        let stored = request.old.as_ref().and_then(|old| old.spec.value());
        if stored.is_some_and(|spec| matches!(spec.target_namespace, Field::Set(_))) {
            TargetSource::Stored
        } else if config.target_namespace.default.is_empty() {
            TargetSource::Own
        } else {
            TargetSource::Configuration
        }
    });
    defaults.apply(&mut request.object);
    AppliedDefaults { patch, target_source }
}
