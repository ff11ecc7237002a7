//! CNB203: packages are not options, files or lists for the installer.

use super::secret_detection::may_hold_secret;
use super::{Context, Findings, Rule, rule};
use crate::grammar::requirement::{CommandLineSyntax, PackageItemError, suggest};
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB203",
    "package-option",
    "packages are not options, files or lists",
    include_str!("package_option.md"),
    check,
)
.fixed()
.cause(Cause::Forbidden);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for package in context.packages() {
        let Err(PackageItemError::CommandLineSyntax(found)) = &package.requirement else {
            continue;
        };
        let path = FieldId::PackageVersions.item(package.index);
        let finding = findings.add_unless_secret(path, package.text, found.to_string());
        let corrected = suggest(package.text).filter(|_| !may_hold_secret(package.text));
        match (corrected, found) {
            (Some(corrected), _) => finding.replacement(corrected),
            (None, CommandLineSyntax::Option) => {
                finding.hint("remove it; the cluster admin configures the package index")
            }
            (None, CommandLineSyntax::File) => {
                finding.hint("list the packages of the file, or use name @ https://...")
            }
            (None, CommandLineSyntax::LineBreak | CommandLineSyntax::Several) => {
                finding.hint("write each requirement as a separate item")
            }
        };
    }
}
