//! CNB022: whoever asks could make the ImageStream themselves.

use super::{Context, Findings, Rule, rule};
use crate::facts::Lookup;
use crate::grammar::dns;
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB022",
    "target-namespace-access",
    "the user may create ImageStreams in a target namespace other than the default",
    include_str!("target_namespace_access.md"),
    check,
)
.about_permission()
.cause(Cause::Forbidden);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(target) = context.spec.target_namespace.text() else { return };
    if dns::label(target).is_err() {
        return;
    }
    // The admin opened the default to everybody who may make resources at all. Where the configuration is not known,
    // nor is the default.
    let is_configured = context.facts.holds(&Lookup::Configuration) == Some(true);
    if is_configured && context.config.default_target(context.object.namespace()) == Some(target) {
        return;
    }
    let need = Lookup::Access { namespace: target.to_owned() };
    match context.facts.holds(&need) {
        Some(true) => {}
        None => findings.undecided(FieldId::TargetNamespace, need),
        Some(false) => {
            findings
                .add(FieldId::TargetNamespace, None, format!("you may not create ImageStreams in namespace {target}"))
                .hint("leave it out, or ask for the right to create imagestreams.image.openshift.io there");
        }
    }
}
