//! CNB202: every item of a package list is a requirement.

use super::secrecy::may_hold_secret;
use super::{Context, Findings, Rule, rule};
use crate::grammar::requirement::{Refusal, suggest};
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
        let Err(Refusal::Requirement(error)) = &package.requirement else {
            continue;
        };
        let path = FieldId::PackageVersions.item(package.index);
        if may_hold_secret(package.text) {
            // The error may quote a part of the text, and so would a correction.
            findings
                .add_hidden(
                    path,
                    package.text,
                    "is no requirement, and holds what looks like credentials",
                )
                .hint("write a name with version specifiers, and keep credentials out of it");
            continue;
        }
        let finding = findings.add(path, Some(package.text), error.to_string());
        match suggest(package.text) {
            Some(corrected) => finding.replacement(corrected),
            None => finding.hint("write a name and, if wanted, versions: pandas, boto3>=1.24.0, scipy==1.10.*"),
        };
    }
}
