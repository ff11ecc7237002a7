//! CNB210: a package list is built on one base, named in one of two ways.

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
                    "a PackageList needs something to install its packages on",
                )
                .hint(
                    "write runtimeEnvironment with osName, osVersion and pythonVersion, or name an image in builderImage",
                );
        }
        (false, false) => {
            findings
                .add(
                    FieldId::BuilderImage,
                    None,
                    "cannot stand beside runtimeEnvironment: each of them names the base to build on",
                )
                .hint("keep the one that you mean and take the other out");
        }
        (true, false) | (false, true) => {}
    }
}
