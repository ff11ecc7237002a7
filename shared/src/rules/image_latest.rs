//! CNB104: images do not use the tag `latest`.

use super::{Context, Findings, Rule, rule};

pub(super) const RULE: Rule = rule(
    "CNB104",
    "image-latest",
    "images do not use the tag latest",
    include_str!("image_latest.md"),
    check,
)
.warn();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (image, reference) in context.valid_images() {
        if reference.tag() == Some("latest") && reference.digest().is_none() {
            findings
                .add(
                    image.field,
                    Some(image.text),
                    "the tag latest can point to a different image later",
                )
                .hint("use a version tag, or add a digest");
        }
    }
}
