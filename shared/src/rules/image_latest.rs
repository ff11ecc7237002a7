//! CNB104: a tag that names another image tomorrow.

use super::{Context, Findings, Rule, rule};

pub(super) const RULE: Rule = rule(
    "CNB104",
    "image-latest",
    "images are not tagged latest",
    include_str!("image_latest.md"),
    check,
)
.warn();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (image, reference) in context.references() {
        if reference.tag() == Some("latest") && reference.digest().is_none() {
            findings
                .add(
                    image.at,
                    Some(image.text),
                    "the tag latest names a different image tomorrow",
                )
                .hint("name a version, or add the digest to have this very image");
        }
    }
}
