//! CNB010: the name that the spawner shows.

use super::{Context, Findings, Rule, rule};
use crate::api::limits;
use crate::path::FieldId;

pub(super) const RULE: Rule =
    rule("CNB010", "display-name", "the display name can be shown", include_str!("display_name.md"), check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(name) = context.object.display_name() else { return };
    if name.trim().is_empty() {
        findings
            .add(FieldId::DisplayName, Some(name), "is empty")
            .hint("write what users will see, or leave the annotation out to have metadata.name shown");
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
            .hint("shorten it, and put the rest into the description");
    }
    if name.chars().any(char::is_control) {
        findings.add(FieldId::DisplayName, Some(name), "has control characters").hint("write plain text on one line");
    }
}
