//! CNB114: the pull Secret is named for a reason.

use super::{Context, Findings, Rule, rule};
use crate::api::BuildType;
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB114",
    "pull-secret-unused",
    "some image of the resource is pulled with the pull Secret",
    include_str!("pull_secret_unused.md"),
    check,
)
.warn();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    // The other build types always pull an image: the one they import, the builder image, or one of the catalog.
    let names_no_image = context.build_type() == Some(BuildType::GitRepository) && context.spec.builder_image.is_absent();
    if names_no_image && !context.spec.image_pull_secret.is_absent() {
        findings
            .add(FieldId::ImagePullSecret, None, "no image of this resource is pulled with it")
            .hint("take it out, or set builderImage; it is of no use for cloning a repository");
    }
}
