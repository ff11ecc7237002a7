//! Evaluates the rules: exemptions, ratcheting, order of findings.

use crate::admission_input::AdmissionInput;
use crate::api::{CustomNBImage, UnvalidatedImage};
use crate::config::Config;
use crate::facts::Facts;
use crate::verdict::{Level, Report};

use super::ratchet::ratchet;
use super::{Context, Findings, RULES, Rule};

/// Evaluates all enabled rules. Pure: the same arguments give the same report.
pub fn evaluate(input: &AdmissionInput<'_>, facts: &Facts, config: &Config) -> Report {
    // It must always be possible to remove finalizers.
    if input.object.is_being_deleted() && input.spec_is_unchanged() {
        return Report::default();
    }
    if input.is_unchanged() {
        return Report::default();
    }
    let mut report = run_rules(input, facts, config, RULES);
    // Without findings there is nothing to ratchet.
    let is_clean = report.findings.is_empty() && report.not_checked.is_empty();
    if let Some(old) = input.old.filter(|_| !is_clean) {
        let before = run_rules(&AdmissionInput::create(old), facts, config, RULES);
        ratchet(&mut report, &before, input, old);
    }
    report
        .findings
        .sort_by(|a, b| a.path.cmp(&b.path).then_with(|| a.rule.id.cmp(b.rule.id)));
    report
        .not_checked
        .sort_by(|a, b| a.path.cmp(&b.path).then_with(|| a.rule.id.cmp(b.rule.id)));
    report
}

fn run_rules(input: &AdmissionInput<'_>, facts: &Facts, config: &Config, rules: &[&'static Rule]) -> Report {
    let context = Context::new(input, facts, config);
    let mut report = Report::default();
    for rule in rules {
        let level = config.level(rule);
        if level != Level::Off {
            (rule.check)(
                &context,
                &mut Findings {
                    rule,
                    level,
                    report: &mut report,
                },
            );
        }
    }
    report
}

/// A resource that passes all fixed rules. Only [`validate`] creates it.
#[derive(Clone, Debug)]
pub struct ValidatedImage<T> {
    resource: T,
}

impl<T> ValidatedImage<T> {
    /// The resource.
    pub fn resource(&self) -> &T {
        &self.resource
    }
}

/// Checks a stored resource against all fixed rules.
///
/// # Errors
/// The report with the denials.
pub fn validate(resource: CustomNBImage, config: &Config) -> Result<ValidatedImage<CustomNBImage>, Report> {
    let unvalidated = UnvalidatedImage::from(&resource);
    let fixed: Vec<&'static Rule> = RULES.iter().copied().filter(|rule| rule.is_fixed).collect();
    let report = run_rules(&AdmissionInput::create(&unvalidated), &Facts::none(), config, &fixed);
    if report.denials().next().is_none() {
        Ok(ValidatedImage { resource })
    } else {
        Err(report)
    }
}
