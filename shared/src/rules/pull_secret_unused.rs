//! CNB114: the pull secret is used.

use super::{Context, Findings, Rule, rule};
use crate::api::BuildType;
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB114",
    "pull-secret-unused",
    "the pull secret is used",
    include_str!("pull_secret_unused.md"),
    check,
)
.warn();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    // The other build types always pull an image: fromImage, builderImage or an image of the catalog.
    let names_no_image = context.build_type() == Some(BuildType::GitRepository) && context.spec.builder_image.is_absent();
    if names_no_image && !context.spec.image_pull_secret.is_absent() {
        findings
            .add(FieldId::ImagePullSecret, None, "is not used, because the resource names no image")
            .hint("remove it, or set builderImage; it is not used to clone the repository");
    }
}
