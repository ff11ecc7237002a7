//! CNB002: what a resource cannot change once it exists.

use super::{Context, Findings, Rule, rule};
use crate::api::limits;
use crate::path::FieldId;
use crate::verdict::{Cause, printable};

pub(super) const RULE: Rule = rule(
    "CNB002",
    "immutable-field",
    "buildType, and targetNamespace once set, stay as they are",
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
    for (at, old, new) in pairs {
        let Some(before) = old.text() else { continue };
        if new.wrong().is_none() && new.text() != Some(before) {
            findings
                .add(at, new.text(), format!("cannot be changed; it is \"{}\"", printable(before, 2 * limits::NAMESPACE)))
                .hint("keep it as it was, or make a new resource under another name");
        }
    }
}
