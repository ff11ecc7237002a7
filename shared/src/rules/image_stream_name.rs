//! CNB003: the name of the resource is a valid ImageStream name.

use super::{Context, Findings, Rule, rule};
use crate::grammar::dns::{self, NameError};
use crate::path::FieldId;
use crate::verdict::printable;

pub(super) const RULE: Rule = rule(
    "CNB003",
    "image-stream-name",
    "the name is a valid ImageStream name",
    include_str!("image_stream_name.md"),
    check,
)
.fixed();

/// Characters of `generateName` that the API server keeps before it adds five random letters or digits.
const PREFIX_KEPT: usize = 58;

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(metadata) = context.object.metadata.value() else { return };
    if metadata.name.wrong_type().is_some() {
        return;
    }
    match (metadata.name.text().unwrap_or_default(), metadata.generate_name.text().unwrap_or_default()) {
        ("", "") => {
            findings.add(FieldId::Name, None, "is missing").hint("set a name; the ImageStream gets the same name");
        }
        ("", prefix) => {
            let kept: String = prefix.chars().take(PREFIX_KEPT).collect();
            if let Err(error) = judge(context, &format!("{kept}x7q2m")) {
                let message = format!("the name generated from generateName \"{}\" {error}", printable(prefix, 80));
                findings.add(FieldId::Name, None, message).hint("use another generateName");
            }
        }
        (name, _) => {
            if let Err(error) = judge(context, name) {
                let finding = findings.add(FieldId::Name, Some(name), error.to_string());
                match corrected(context, name) {
                    Some(better) => finding.replacement(better),
                    None => finding.hint("use another name; the ImageStream gets the same name"),
                };
            }
        }
    }
}

fn judge(context: &Context<'_>, name: &str) -> Result<(), NameError> {
    dns::validate_subdomain(name)?;
    // If the namespace is not known, assume the shortest one.
    dns::validate_image_stream_name(context.target_namespace().unwrap_or("x"), name)
}

/// The name with repeated dashes reduced to one, if that makes it valid.
fn corrected(context: &Context<'_>, name: &str) -> Option<String> {
    let mut better = String::with_capacity(name.len());
    for character in name.chars() {
        if !(character == '-' && better.ends_with('-')) {
            better.push(character);
        }
    }
    (better != name && judge(context, &better).is_ok()).then_some(better)
}
