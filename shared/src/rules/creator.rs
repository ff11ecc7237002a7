//! CNB012: who asked for the image.

use super::{Context, Findings, Rule, rule};
use crate::api::{Field, annotations};
use crate::facts::Lookup;
use crate::path::FieldId;

pub(super) const RULE: Rule =
    rule("CNB012", "creator", "the creator is named in plain text", include_str!("creator.md"), check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let creator = context.object.annotations().map_or(&Field::Absent, |all| &all.creator);
    match creator {
        Field::Set(creator) if creator.trim().is_empty() => {
            findings
                .add(FieldId::Creator, Some(creator), "is empty")
                .hint("write who asked for the image, or leave the annotation out to have your user name filled in");
        }
        Field::Set(creator) if creator.chars().any(char::is_control) => {
            findings.add(FieldId::Creator, Some(creator), "has control characters").hint("write plain text on one line");
        }
        Field::Absent if context.facts.holds(&Lookup::Requester).is_some() => {
            findings.add(FieldId::Creator, None, "is missing").hint(format!("annotate {} with who asked", annotations::CREATOR));
        }
        Field::Absent => findings.undecided(FieldId::Creator, Lookup::Requester),
        Field::Set(_) | Field::Wrong(_) => {}
    }
}
