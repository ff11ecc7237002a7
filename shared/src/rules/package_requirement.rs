//! CNB202: packages are PEP 508 requirements.

use super::secret_detection::may_hold_secret;
use super::{Context, Findings, Rule, rule};
use crate::grammar::requirement::{PackageItemError, suggest};
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB202",
    "package-requirement",
    "packages are PEP 508 requirements",
    include_str!("package_requirement.md"),
    check,
)
.fixed();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for package in context.packages() {
        let Err(PackageItemError::Requirement(error)) = &package.requirement else {
            continue;
        };
        let path = FieldId::PackageVersions.item(package.index);
        if may_hold_secret(package.text) {
            // The error and the correction may quote a part of the text.
            findings
                .add_hidden(
                    path,
                    package.text,
                    "is not a requirement and appears to contain credentials",
                )
                .hint("use a name with version specifiers, without credentials");
            continue;
        }
        let finding = findings.add(path, Some(package.text), error.to_string());
        match suggest(package.text) {
            Some(corrected) => finding.replacement(corrected),
            None => finding.hint("use a name and optional versions, for example pandas, boto3>=1.24.0 or scipy==1.10.*"),
        };
    }
}
