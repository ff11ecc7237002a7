//! CNB023: the target namespace is there.

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
    if context.spec.target_namespace.is_absent() && context.facts.holds(&Lookup::Configuration).is_none() {
        return findings.undecided(FieldId::TargetNamespace, Lookup::Configuration);
    }
    let Some(target) = context.legal_target_namespace() else { return };
    // The namespace that the resource itself is in needs no asking.
    if context.object.namespace() == Some(target) {
        return;
    }
    let need = Lookup::Namespace { name: target.to_owned() };
    match context.facts.holds(&need) {
        Some(true) => {}
        None => findings.undecided(FieldId::TargetNamespace, need),
        Some(false) => {
            findings
                .add(FieldId::TargetNamespace, None, format!("there is no namespace {target} yet"))
                .hint("the image can be built, but not be published until somebody makes it");
        }
    }
}
