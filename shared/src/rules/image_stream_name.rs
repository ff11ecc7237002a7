//! CNB003: the resource's name becomes the ImageStream's name.

use super::{Context, Findings, Rule, rule};
use crate::grammar::dns::{self, NameError};
use crate::path::FieldId;
use crate::verdict::printable;

pub(super) const RULE: Rule = rule(
    "CNB003",
    "image-stream-name",
    "the name can be given to an ImageStream",
    include_str!("image_stream_name.md"),
    check,
)
.fixed();

/// A name that the API server might make of a prefix: it keeps 58 characters and adds five letters or digits.
const PREFIX_KEPT: usize = 58;

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(metadata) = context.object.metadata.value() else { return };
    if metadata.name.wrong().is_some() {
        return;
    }
    match (metadata.name.text().unwrap_or_default(), metadata.generate_name.text().unwrap_or_default()) {
        ("", "") => {
            findings.add(FieldId::Name, None, "is missing").hint("write a name; the ImageStream gets the same");
        }
        ("", prefix) => {
            let kept: String = prefix.chars().take(PREFIX_KEPT).collect();
            if let Err(error) = judge(context, &format!("{kept}x7q2m")) {
                let message = format!("would be made of generateName \"{}\": it {error}", printable(prefix, 80));
                findings.add(FieldId::Name, None, message).hint("choose another generateName");
            }
        }
        (name, _) => {
            if let Err(error) = judge(context, name) {
                let finding = findings.add(FieldId::Name, Some(name), error.to_string());
                match corrected(context, name) {
                    Some(better) => finding.replacement(better),
                    None => finding.hint("the ImageStream is named like the resource: choose another name"),
                };
            }
        }
    }
}

fn judge(context: &Context<'_>, name: &str) -> Result<(), NameError> {
    dns::subdomain(name)?;
    // Where the namespace is not known, the shortest one is assumed.
    dns::image_stream_name(context.target_namespace().unwrap_or("x"), name)
}

/// The name with each run of separators made one, when that is all that it takes.
fn corrected(context: &Context<'_>, name: &str) -> Option<String> {
    let mut better = String::with_capacity(name.len());
    for character in name.chars() {
        if !(character == '-' && better.ends_with('-')) {
            better.push(character);
        }
    }
    (better != name && judge(context, &better).is_ok()).then_some(better)
}
