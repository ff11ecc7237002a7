//! CNB023: the target namespace exists.

use super::{Context, Findings, Rule, rule};
use crate::facts::Lookup;
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB023",
    "target-namespace-exists",
    "the target namespace exists",
    include_str!("target_namespace_exists.md"),
    check,
)
.warn()
.cause(Cause::NotFound);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if context.spec.target_namespace.is_absent() && context.facts.is_confirmed(&Lookup::Configuration).is_none() {
        return findings.not_checked(FieldId::TargetNamespace, Lookup::Configuration);
    }
    let Some(target) = context.valid_target_namespace() else { return };
    // The resource's own namespace exists.
    if context.object.namespace() == Some(target) {
        return;
    }
    let lookup = Lookup::Namespace { name: target.to_owned() };
    match context.facts.is_confirmed(&lookup) {
        Some(true) => {}
        None => findings.not_checked(FieldId::TargetNamespace, lookup),
        Some(false) => {
            findings
                .add(FieldId::TargetNamespace, None, format!("the namespace {target} does not exist"))
                .hint("create it; the image cannot be published before");
        }
    }
}
