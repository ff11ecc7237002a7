//! CNB203: nothing in a package list that an installer would take for an instruction.

use super::secrecy::may_hold_secret;
use super::{Context, Findings, Rule, rule};
use crate::grammar::requirement::{CommandLine, Refusal, suggest};
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB203",
    "package-option",
    "packages are no options, files or lists",
    include_str!("package_option.md"),
    check,
)
.fixed()
.cause(Cause::Forbidden);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for package in context.packages() {
        let Err(Refusal::CommandLine(found)) = &package.requirement else {
            continue;
        };
        let path = FieldId::PackageVersions.item(package.index);
        let finding = findings.add_unless_secret(path, package.text, found.to_string());
        let corrected = suggest(package.text).filter(|_| !may_hold_secret(package.text));
        match (corrected, found) {
            (Some(corrected), _) => finding.replacement(corrected),
            (None, CommandLine::Option) => {
                finding.hint("take it out: which index is used and how is for the cluster's admin to decide")
            }
            (None, CommandLine::File) => {
                finding.hint("write out the packages that the file lists, or name @ https://...")
            }
            (None, CommandLine::LineBreak | CommandLine::Several) => {
                finding.hint("write each of them as an item of its own")
            }
        };
    }
}
