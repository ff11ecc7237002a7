//! CNB004: nobody else's ImageStream is overwritten.

use super::{Context, Findings, Rule, rule};
use crate::facts::{Fact, Lookup, StreamOwner};
use crate::grammar::dns;
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB004",
    "image-stream-taken",
    "the ImageStream of that name is free, or this resource's own",
    include_str!("image_stream_taken.md"),
    check,
)
.cause(Cause::Duplicate);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    // A name that is yet to be made up is made up so that it is free. An illegal one is CNB003's and CNB020's business.
    let Some(name) = context.object.name() else { return };
    if context.spec.target_namespace.is_absent() && context.facts.holds(&Lookup::Configuration).is_none() {
        findings.undecided(FieldId::Name, Lookup::Configuration);
        return;
    }
    let Some(target) = context.legal_target_namespace() else { return };
    if dns::image_stream_name(target, name).is_err() {
        return;
    }
    let need = Lookup::ImageStream { namespace: target.to_owned(), name: name.to_owned() };
    let whose = match context.facts.image_stream(&need) {
        Fact::Absent => return,
        Fact::Unknown => return findings.undecided(FieldId::Name, need),
        Fact::Known(StreamOwner::Resource { namespace, name: owner }) => {
            if owner == name && Some(namespace.as_str()) == context.object.namespace() {
                return;
            }
            // Not which: whoever reaches the webhook could look around in namespaces that are none of theirs.
            "of another CustomNBImage"
        }
        Fact::Known(StreamOwner::Other) => "that CNBi did not make",
    };
    findings
        .add(FieldId::Name, Some(name), format!("namespace {target} already has an ImageStream of that name, {whose}"))
        .hint("choose another name, or have that ImageStream deleted first");
}
