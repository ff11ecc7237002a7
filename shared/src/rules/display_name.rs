//! CNB010: the display name in the notebook spawner.

use super::{Context, Findings, Rule, rule};
use crate::api::limits;
use crate::path::FieldId;

pub(super) const RULE: Rule =
    rule("CNB010", "display-name", "the display name is not empty and fits on one line", include_str!("display_name.md"), check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(name) = context.object.display_name() else { return };
    if name.trim().is_empty() {
        findings
            .add(FieldId::DisplayName, Some(name), "is empty")
            .hint("enter a name, or remove the annotation to use metadata.name");
        return;
    }
    let count = name.chars().count();
    if count > limits::DISPLAY_NAME {
        findings
            .add(
                FieldId::DisplayName,
                Some(name),
                format!("has {count} characters; at most {} are allowed", limits::DISPLAY_NAME),
            )
            .hint("shorten it, and use the description for details");
    }
    if name.chars().any(char::is_control) {
        findings.add(FieldId::DisplayName, Some(name), "contains control characters").hint("use plain text on one line");
    }
}
