//! The report of an audit, as text and for JSON.

use std::fmt::Write as _;

use cnbi_shared::api::UnvalidatedImage;
use cnbi_shared::verdict::{Level, Report};
use serde::Serialize;

use crate::check::{NotChecked, by_need, with_hint};
use crate::terminal::{sanitize, styled, styles, truncate};

/// Maximum columns of a finding.
const FINDING_COLUMNS: usize = 400;

/// The report of an audit.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// Number of checked resources.
    pub checked: usize,
    /// Number of resources that would be rejected.
    pub rejected: usize,
    /// Number of other resources with rules that were not checked.
    pub not_checked: usize,
    /// Number of the remaining resources with warnings.
    pub warned: usize,
    /// All resources that are not accepted without warnings, by namespace and name.
    pub resources: Vec<AuditedResource>,
}

/// One resource.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditedResource {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The most important outcome.
    pub verdict: Verdict,
    /// Findings in the order of fields.
    pub findings: Vec<AuditFinding>,
    /// Rules that were not checked.
    pub not_checked: Vec<NotChecked>,
}

/// The outcome for a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It would be rejected.
    Rejected,
    /// It has rules that were not checked.
    NotChecked,
    /// It has warnings.
    Warned,
}

/// A finding.
#[derive(Clone, Debug, Serialize)]
pub struct AuditFinding {
    /// Id of the rule.
    pub rule: &'static str,
    /// `Deny` or `Warn`
    pub level: Level,
    /// Path of the field.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Audit {
    /// Builds the report.
    pub fn of(images: &[UnvalidatedImage], reports: Vec<Report>) -> Self {
        let mut audit = Self {
            checked: images.len(),
            ..Self::default()
        };
        for (image, report) in images.iter().zip(reports) {
            let (verdict, count) = if report.denials().next().is_some() {
                (Verdict::Rejected, &mut audit.rejected)
            } else if !report.not_checked.is_empty() {
                (Verdict::NotChecked, &mut audit.not_checked)
            } else if !report.findings.is_empty() {
                (Verdict::Warned, &mut audit.warned)
            } else {
                continue;
            };
            *count += 1;
            let not_checked = NotChecked::of(&report);
            let findings = report.findings.into_iter().map(|finding| AuditFinding {
                rule: finding.rule.id,
                level: finding.level,
                path: finding.shown_path(),
                message: sanitize(&finding.message),
                hint: finding.hint.as_deref().map(sanitize),
            });
            audit.resources.push(AuditedResource {
                namespace: sanitize(image.namespace().unwrap_or_default()),
                name: sanitize(image.name().unwrap_or_default()),
                verdict,
                findings: findings.collect(),
                not_checked,
            });
        }
        audit
            .resources
            .sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        audit
    }
}

/// Renders the report as text.
pub fn table(audit: &Audit) -> String {
    let mut text = String::new();
    for resource in &audit.resources {
        let verdict = match resource.verdict {
            Verdict::Rejected => styled(styles::ERROR, "would be rejected"),
            Verdict::Warned => styled(styles::IN_PROGRESS, "accepted with warnings"),
            Verdict::NotChecked => styled(styles::DIM, "accepted, but not all rules were checked"),
        };
        let _ = writeln!(text, "{}/{}: {verdict}", resource.namespace, resource.name);
        for finding in &resource.findings {
            let message = format!(
                "{}: {}",
                finding.path,
                with_hint(&finding.message, finding.hint.as_deref())
            );
            let _ = writeln!(
                text,
                "  {:4} {} {}",
                finding.level.to_string(),
                finding.rule,
                truncate(&message, FINDING_COLUMNS)
            );
        }
        for (need, rules) in by_need(&resource.not_checked) {
            let line = format!("not checked (needs {}): {rules}", sanitize(need));
            let _ = writeln!(text, "  {}", styled(styles::DIM, &line));
        }
    }
    if !audit.resources.is_empty() {
        text.push('\n');
    }
    let Audit {
        checked,
        rejected,
        warned,
        not_checked,
        resources: _,
    } = audit;
    let _ = writeln!(
        text,
        "{checked} checked: {rejected} would be rejected, {not_checked} with rules not checked, {warned} with warnings, {} accepted",
        checked - rejected - warned - not_checked
    );
    text
}
