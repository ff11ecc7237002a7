//! CNB304: gitRef is a valid ref name or commit.

use super::size::exceeds;
use super::{Context, Findings, Rule, rule};
use crate::api::{BuildType, limits};
use crate::grammar::git_ref::validate as validate_git_ref;
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB304",
    "git-ref",
    "gitRef is a valid ref name or commit",
    include_str!("git_ref.md"),
    check,
)
.fixed();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if context.build_type() != Some(BuildType::GitRepository) {
        return;
    }
    let Some(name) = context
        .spec
        .git_ref
        .text()
        .filter(|name| !exceeds(name, limits::GIT_REF))
    else {
        return;
    };
    let Err(error) = validate_git_ref(name) else { return };
    let finding = findings.add_unless_secret(FieldId::GitRef, name, error.to_string());
    let trimmed = name.trim().trim_matches('/');
    if name.is_empty() {
        finding.hint("remove gitRef to build the default branch");
    } else if validate_git_ref(trimmed).is_ok() {
        finding.replacement(trimmed);
    } else {
        finding.hint("use a branch, tag or commit, for example main, v1.2.0 or feature/widgets");
    }
}
