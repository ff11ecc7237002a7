//! CNB210: a PackageList has either runtimeEnvironment or builderImage.

use super::{Context, Findings, Rule, rule};
use crate::api::BuildType;
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB210",
    "environment-or-builder",
    "a PackageList has either runtimeEnvironment or builderImage",
    include_str!("environment_or_builder.md"),
    check,
)
.fixed();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if context.build_type() != Some(BuildType::PackageList) {
        return;
    }
    let spec = context.spec;
    match (spec.runtime_environment.is_absent(), spec.builder_image.is_absent()) {
        (true, true) => {
            findings
                .add(
                    FieldId::RuntimeEnvironment,
                    None,
                    "a PackageList needs a base image",
                )
                .hint(
                    "set runtimeEnvironment with osName, osVersion and pythonVersion, or set builderImage",
                );
        }
        (false, false) => {
            findings
                .add(
                    FieldId::BuilderImage,
                    None,
                    "cannot be set together with runtimeEnvironment: both select the base image",
                )
                .hint("remove one of the two");
        }
        (true, false) | (false, true) => {}
    }
}
