//! CNB105: image references include the registry.

use super::{Context, Findings, Rule, rule};

pub(super) const RULE: Rule = rule(
    "CNB105",
    "image-qualified",
    "image references include the registry",
    include_str!("image_qualified.md"),
    check,
)
.warn();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (image, reference) in context.valid_images() {
        if reference.registry().is_none() {
            findings
                .add(image.field, Some(image.text), "has no registry; Docker Hub is used")
                .replacement(reference.qualified());
        }
    }
}
