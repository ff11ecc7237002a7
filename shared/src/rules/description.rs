//! CNB011: the text below the name in the spawner.

use super::{Context, Findings, Rule, rule};
use crate::api::{Field, annotations, limits};
use crate::path::FieldId;

pub(super) const RULE: Rule =
    rule("CNB011", "description", "the image is described", include_str!("description.md"), check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let description = context.object.annotations().map_or(&Field::Absent, |all| &all.description);
    let text = match description {
        Field::Set(text) if !text.trim().is_empty() => text,
        Field::Absent | Field::Set(_) => {
            findings
                .warn(FieldId::Description, None, "nothing tells users what the image is for")
                .hint(format!("annotate {}", annotations::DESCRIPTION));
            return;
        }
        Field::Wrong(_) => return,
    };
    // Bytes bound characters, so short texts need no counting.
    let count = if text.len() > limits::DESCRIPTION { text.chars().count() } else { 0 };
    if count > limits::DESCRIPTION {
        findings.add(
            FieldId::Description,
            Some(text),
            format!("has {count} characters; at most {} are allowed", limits::DESCRIPTION),
        );
    }
    if text.chars().any(char::is_control) {
        findings
            .add(FieldId::Description, Some(text), "has control characters")
            .hint("write plain text without line breaks (in YAML, `>-` folds several lines into one)");
    }
}
