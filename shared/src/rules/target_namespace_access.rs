//! CNB022: the requesting user may create ImageStreams in the target namespace.

use super::{Context, Findings, Rule, rule};
use crate::facts::Lookup;
use crate::grammar::dns;
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB022",
    "target-namespace-access",
    "the user may create ImageStreams in the target namespace",
    include_str!("target_namespace_access.md"),
    check,
)
.about_permission()
.cause(Cause::Forbidden);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(target) = context.spec.target_namespace.text() else { return };
    if dns::validate_label(target).is_err() {
        return;
    }
    // The admin has opened the default target namespace to all users. It is only known with the configuration.
    let is_configured = context.facts.is_confirmed(&Lookup::Configuration) == Some(true);
    if is_configured && context.config.default_target(context.object.namespace()) == Some(target) {
        return;
    }
    let lookup = Lookup::Access { namespace: target.to_owned() };
    match context.facts.is_confirmed(&lookup) {
        Some(true) => {}
        None => findings.not_checked(FieldId::TargetNamespace, lookup),
        Some(false) => {
            findings
                .add(FieldId::TargetNamespace, None, format!("you are not allowed to create ImageStreams in namespace {target}"))
                .hint("remove the field, or ask for permission to create imagestreams.image.openshift.io in this namespace");
        }
    }
}
