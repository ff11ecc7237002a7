//! CNB105: an image says which registry it is in.

use super::{Context, Findings, Rule, rule};

pub(super) const RULE: Rule = rule(
    "CNB105",
    "image-qualified",
    "images name their registry",
    include_str!("image_qualified.md"),
    check,
)
.warn();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (image, reference) in context.references() {
        if reference.registry().is_none() {
            findings
                .add(image.at, Some(image.text), "names no registry, so Docker Hub is taken")
                .replacement(reference.qualified());
        }
    }
}
