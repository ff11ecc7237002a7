//! CNB020: the target namespace is a valid namespace name.

use super::{Context, Findings, Rule, rule};
use crate::grammar::dns::{self, NameError};
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB020",
    "target-namespace-name",
    "targetNamespace is a valid namespace name",
    include_str!("target_namespace_name.md"),
    check,
)
.fixed();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(name) = context.spec.target_namespace.text() else { return };
    match dns::validate_label(name) {
        // CNB005 reports the length.
        Ok(()) | Err(NameError::TooLong { .. }) => {}
        Err(error) => {
            let finding = findings.add(FieldId::TargetNamespace, Some(name), error.to_string());
            let trimmed = name.trim().to_ascii_lowercase();
            if dns::validate_label(&trimmed).is_ok() {
                finding.replacement(trimmed);
            } else {
                finding.hint("use the name of a namespace, or remove the field to use the default");
            }
        }
    }
}
