//! CNB101: an ImageImport has an image.

use super::{Context, Findings, Rule, rule};
use crate::api::BuildType;
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB101",
    "from-image-required",
    "an ImageImport has fromImage",
    include_str!("from_image_required.md"),
    check,
)
.fixed()
.cause(Cause::Required);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if context.build_type() == Some(BuildType::ImageImport) && context.spec.from_image.is_absent() {
        findings
            .add(FieldId::FromImage, None, "an ImageImport needs an image")
            .hint("set it, for example quay.io/thoth-station/s2i-minimal-py38-notebook:v0.2.2");
    }
}
