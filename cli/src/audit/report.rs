//! What came of an audit, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cnbi_shared::api::UnvalidatedImage;
use cnbi_shared::verdict::{Level, Report};
use serde::Serialize;

use super::super::terminal::{cut, safe, styled, styles};

/// What came of an audit.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Audit {
    /// How many resources were judged.
    pub judged: usize,
    /// How many would be refused.
    pub refused: usize,
    /// How many of the others have rules that could not be decided.
    pub undecided: usize,
    /// How many of the rest would be warned about.
    pub warned: usize,
    /// Those of which there is something to tell, by namespace and name.
    pub resources: Vec<Judged>,
}

/// One resource.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `refused`, `warned`, `undecided` or `accepted`
    pub verdict: &'static str,
    /// What was found, in the order of fields.
    pub findings: Vec<Found>,
    /// What could not be decided.
    pub undecided: Vec<Open>,
}

/// A finding.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// Id of the rule.
    pub rule: &'static str,
    /// `Deny` or `Warn`
    pub level: Level,
    /// The field.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// A rule that was not decided.
#[derive(Clone, Debug, Serialize)]
pub struct Open {
    /// Id of the rule.
    pub rule: &'static str,
    /// What it has to know.
    pub needs: String,
}

impl Audit {
    /// Counts, and keeps those of which there is something to tell.
    pub fn of(drafts: &[UnvalidatedImage], reports: Vec<Report>) -> Self {
        let mut audit = Self {
            judged: drafts.len(),
            ..Self::default()
        };
        for (draft, report) in drafts.iter().zip(reports) {
            let verdict = if report.denials().next().is_some() {
                audit.refused += 1;
                "refused"
            } else if !report.undecided.is_empty() {
                audit.undecided += 1;
                "undecided"
            } else if !report.findings.is_empty() {
                audit.warned += 1;
                "warned"
            } else {
                continue;
            };
            let findings = report.findings.into_iter().map(|finding| Found {
                rule: finding.rule.id,
                level: finding.level,
                path: finding.shown_path(),
                message: safe(&finding.message),
                hint: finding.hint.as_deref().map(safe),
            });
            let undecided = report.undecided.iter().map(|undecided| Open {
                rule: undecided.rule.id,
                needs: undecided.need.to_string(),
            });
            audit.resources.push(Judged {
                namespace: safe(draft.namespace().unwrap_or_default()),
                name: safe(draft.name().unwrap_or_default()),
                verdict,
                findings: findings.collect(),
                undecided: undecided.collect(),
            });
        }
        audit
            .resources
            .sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        audit
    }
}

/// For people.
pub fn table(audit: &Audit) -> String {
    let mut text = String::new();
    for resource in &audit.resources {
        let style = match resource.verdict {
            "refused" => styles::BAD,
            "warned" => styles::UNDER_WAY,
            _ => styles::FAINT,
        };
        let verdict = styled(style, resource.verdict);
        let _ = writeln!(text, "{}/{}: {verdict}", resource.namespace, resource.name);
        for finding in &resource.findings {
            let hint = finding
                .hint
                .as_deref()
                .map(|hint| format!("; {hint}"))
                .unwrap_or_default();
            let what = format!("{}: {}{hint}", finding.path, finding.message);
            let _ = writeln!(
                text,
                "  {:4} {} {}",
                finding.level.to_string(),
                finding.rule,
                cut(&what, 400)
            );
        }
        let mut by_need: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for open in &resource.undecided {
            by_need.entry(&open.needs).or_default().push(open.rule);
        }
        for (need, rules) in by_need {
            let what = format!("undecided without {}: {}", safe(need), rules.join(", "));
            let _ = writeln!(text, "  {}", styled(styles::FAINT, &what));
        }
    }
    if !audit.resources.is_empty() {
        text.push('\n');
    }
    let Audit {
        judged,
        refused,
        warned,
        undecided,
        resources: _,
    } = audit;
    let _ = writeln!(
        text,
        "{judged} judged: {refused} would be refused, {undecided} undecided, {warned} warned about, {} accepted",
        judged - refused - warned - undecided
    );
    text
}
