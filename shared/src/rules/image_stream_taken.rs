//! CNB004: the ImageStream does not belong to another resource.

use super::{Context, Findings, Rule, rule};
use crate::facts::{Fact, Lookup, StreamOwner};
use crate::grammar::dns;
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB004",
    "image-stream-taken",
    "the ImageStream does not belong to another resource",
    include_str!("image_stream_taken.md"),
    check,
)
.cause(Cause::Duplicate);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    // A generated name is unique. CNB003 and CNB020 report invalid names.
    let Some(name) = context.object.name() else { return };
    if context.spec.target_namespace.is_absent() && context.facts.is_confirmed(&Lookup::Configuration).is_none() {
        findings.not_checked(FieldId::Name, Lookup::Configuration);
        return;
    }
    let Some(target) = context.valid_target_namespace() else { return };
    if dns::validate_image_stream_name(target, name).is_err() {
        return;
    }
    let lookup = Lookup::ImageStream { namespace: target.to_owned(), name: name.to_owned() };
    let owner = match context.facts.image_stream(&lookup) {
        Fact::Absent => return,
        Fact::Unknown => return findings.not_checked(FieldId::Name, lookup),
        Fact::Known(StreamOwner::Resource { namespace, name: resource }) => {
            if resource == name && Some(namespace.as_str()) == context.object.namespace() {
                return;
            }
            // The owner is not named, so that a user learns nothing about other namespaces.
            "belongs to another CustomNBImage"
        }
        Fact::Known(StreamOwner::Unmanaged) => "was not created by CNBi",
    };
    findings
        .add(FieldId::Name, Some(name), format!("an ImageStream with this name already exists in namespace {target} and {owner}"))
        .hint("use another name, or delete the ImageStream");
}
