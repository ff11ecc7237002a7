//! CNB201: a PackageList has at least one package.

use super::{Context, Findings, Rule, rule};
use crate::api::{BuildType, Field};
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB201",
    "package-versions-required",
    "a PackageList has at least one package",
    include_str!("package_versions_required.md"),
    check,
)
.fixed()
.cause(Cause::Required);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if context.build_type() != Some(BuildType::PackageList) {
        return;
    }
    let message = match &context.spec.package_versions {
        Field::Absent => "a PackageList needs at least one package",
        Field::Set(packages) if packages.count() == 0 => "the list is empty",
        Field::Set(_) | Field::WrongType(_) => return,
    };
    findings
        .add(FieldId::PackageVersions, None, message)
        .hint("list one requirement per item, for example `- pandas` and `- boto3>=1.24.0`");
}
