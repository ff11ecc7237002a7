//! CNB002: fields that cannot be changed after creation.

use super::{Context, Findings, Rule, rule};
use crate::api::limits;
use crate::path::FieldId;
use crate::verdict::{Cause, printable};

pub(super) const RULE: Rule = rule(
    "CNB002",
    "immutable-field",
    "buildType and targetNamespace cannot be changed",
    include_str!("immutable_field.md"),
    check,
)
.fixed()
.cause(Cause::Forbidden);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(old) = context.old.and_then(|old| old.spec.value()) else { return };
    let new = context.spec;
    let pairs = [
        (FieldId::BuildType, &old.build_type, &new.build_type),
        (FieldId::TargetNamespace, &old.target_namespace, &new.target_namespace),
    ];
    for (field, old, new) in pairs {
        let Some(before) = old.text() else { continue };
        if new.wrong_type().is_none() && new.text() != Some(before) {
            findings
                .add(field, new.text(), format!("cannot be changed from \"{}\"", printable(before, 2 * limits::NAMESPACE)))
                .hint("restore the value, or create a new resource with another name");
        }
    }
}
