//! CNB304: a branch, tag or commit has a name that Git allows.

use super::size::exceeds;
use super::{Context, Findings, Rule, rule};
use crate::api::{BuildType, limits};
use crate::grammar::git_ref::git_ref;
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB304",
    "git-ref",
    "gitRef is a legal ref name or object id",
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
    let Err(error) = git_ref(name) else { return };
    let finding = findings.add_unless_secret(FieldId::GitRef, name, error.to_string());
    let trimmed = name.trim().trim_matches('/');
    if name.is_empty() {
        finding.hint("leave gitRef out to build the repository's default branch");
    } else if git_ref(trimmed).is_ok() {
        finding.replacement(trimmed);
    } else {
        finding.hint("write a branch, a tag or a commit, for example main, v1.2.0 or feature/widgets");
    }
}
