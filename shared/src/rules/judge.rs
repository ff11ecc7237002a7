//! Applies the table: who is judged, what ratcheting forgives, in what order it is told.

use crate::admission_input::AdmissionInput;
use crate::api::{CustomNBImage, UnvalidatedImage};
use crate::config::Config;
use crate::facts::Facts;
use crate::verdict::{Level, Report};

use super::ratchet::ratchet;
use super::{Context, Findings, RULES, Rule};

/// Judges an object by all rules in force. Pure: the same arguments give the same report.
pub fn evaluate(subject: &AdmissionInput<'_>, facts: &Facts, config: &Config) -> Report {
    // Finalizers must come off whatever has become of the rules or of the world since.
    if subject.object.is_being_deleted() && subject.spec_is_unchanged() {
        return Report::default();
    }
    if subject.is_unchanged() {
        return Report::default();
    }
    let mut report = judge(subject, facts, config, RULES);
    // Where nothing was found, there is nothing to forgive.
    let is_clean = report.findings.is_empty() && report.undecided.is_empty();
    if let Some(old) = subject.old.filter(|_| !is_clean) {
        let before = judge(&AdmissionInput::create(old), facts, config, RULES);
        ratchet(&mut report, &before, subject, old);
    }
    report
        .findings
        .sort_by(|a, b| a.path.cmp(&b.path).then_with(|| a.rule.id.cmp(b.rule.id)));
    report
        .undecided
        .sort_by(|a, b| a.path.cmp(&b.path).then_with(|| a.rule.id.cmp(b.rule.id)));
    report
}

fn judge(subject: &AdmissionInput<'_>, facts: &Facts, config: &Config, rules: &[&'static Rule]) -> Report {
    let context = Context::new(subject, facts, config);
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

/// A resource that is proven to break no fixed rule. Only [`accept`] makes one, so whoever holds it need not ask again.
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

/// Proves that a stored resource breaks no fixed rule.
///
/// # Errors
/// The report of the fixed rules that it breaks.
pub fn accept(resource: CustomNBImage, config: &Config) -> Result<ValidatedImage<CustomNBImage>, Report> {
    let draft = UnvalidatedImage::from(&resource);
    let fixed: Vec<&'static Rule> = RULES.iter().copied().filter(|rule| rule.is_fixed).collect();
    let report = judge(&AdmissionInput::create(&draft), &Facts::none(), config, &fixed);
    if report.denials().next().is_none() {
        Ok(ValidatedImage { resource })
    } else {
        Err(report)
    }
}
