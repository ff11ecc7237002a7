//! CNB012: the creator of the image.

use super::{Context, Findings, Rule, rule};
use crate::api::{Field, annotations};
use crate::facts::Lookup;
use crate::path::FieldId;

pub(super) const RULE: Rule =
    rule("CNB012", "creator", "the creator is set and is plain text", include_str!("creator.md"), check);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let creator = context.object.annotations().map_or(&Field::Absent, |all| &all.creator);
    match creator {
        Field::Set(creator) if creator.trim().is_empty() => {
            findings
                .add(FieldId::Creator, Some(creator), "is empty")
                .hint("enter the creator, or remove the annotation to use your user name");
        }
        Field::Set(creator) if creator.chars().any(char::is_control) => {
            findings.add(FieldId::Creator, Some(creator), "contains control characters").hint("use plain text on one line");
        }
        Field::Absent if context.facts.is_confirmed(&Lookup::Requester).is_some() => {
            findings.add(FieldId::Creator, None, "is missing").hint(format!("set the annotation {}", annotations::CREATOR));
        }
        Field::Absent => findings.not_checked(FieldId::Creator, Lookup::Requester),
        Field::Set(_) | Field::WrongType(_) => {}
    }
}
