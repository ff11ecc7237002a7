//! CNB001: fields of other build types are not set.

use super::{Context, Findings, Rule, rule};
use crate::api::BuildType::{self, GitRepository, ImageImport, PackageList};
use crate::api::{Field, ActualType};
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB001",
    "foreign-field",
    "only fields of the chosen buildType are set",
    include_str!("foreign_field.md"),
    check,
)
.fixed()
.cause(Cause::Forbidden);

/// The build types of each field. Fields of all build types are not listed.
pub(crate) const OWNERS: [(FieldId, &[BuildType]); 6] = [
    (FieldId::FromImage, &[ImageImport]),
    (FieldId::RuntimeEnvironment, &[PackageList]),
    (FieldId::BuilderImage, &[PackageList, GitRepository]),
    (FieldId::PackageVersions, &[PackageList]),
    (FieldId::RepositoryUrl, &[GitRepository]),
    (FieldId::GitRef, &[GitRepository]),
];

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(build_type) = context.build_type() else { return };
    let spec = context.spec;
    for (field, owners) in OWNERS {
        let is_there = match field {
            FieldId::FromImage => is_set(&spec.from_image),
            FieldId::RuntimeEnvironment => is_set(&spec.runtime_environment),
            FieldId::BuilderImage => is_set(&spec.builder_image),
            FieldId::PackageVersions => is_set(&spec.package_versions),
            FieldId::RepositoryUrl => is_set(&spec.repository_url),
            FieldId::GitRef => is_set(&spec.git_ref),
            _ => false,
        };
        if is_there && !owners.contains(&build_type) {
            let owners = owners.iter().map(|owner| owner.as_str()).collect::<Vec<_>>().join(" or ");
            findings
                .add(field, None, format!("is only allowed with buildType {owners}, not with {build_type}"))
                .hint(format!("remove it, or set buildType to {owners}"));
        }
    }
}

/// `null` counts as not set, as in the API server.
fn is_set<T>(field: &Field<T>) -> bool {
    !matches!(field, Field::Absent | Field::WrongType(ActualType::Null))
}
