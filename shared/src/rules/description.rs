//! CNB011: the description in the notebook spawner.

use super::{Context, Findings, Rule, rule};
use crate::api::{Field, annotations, limits};
use crate::path::FieldId;

pub(super) const RULE: Rule =
    rule("CNB011", "description", "the image has a description", include_str!("description.md"), check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let description = context.object.annotations().map_or(&Field::Absent, |all| &all.description);
    let text = match description {
        Field::Set(text) if !text.trim().is_empty() => text,
        Field::Absent | Field::Set(_) => {
            findings
                .warn(FieldId::Description, None, "the image has no description")
                .hint(format!("set the annotation {}", annotations::DESCRIPTION));
            return;
        }
        Field::WrongType(_) => return,
    };
    // A text never has more characters than bytes, so short texts are not counted.
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
            .add(FieldId::Description, Some(text), "contains control characters")
            .hint("use plain text without line breaks (in YAML, `>-` joins lines)");
    }
}
