//! CNB301: a GitRepository has repositoryUrl.

use super::{Context, Findings, Rule, rule};
use crate::api::BuildType;
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB301",
    "repository-url-required",
    "a GitRepository has repositoryUrl",
    include_str!("repository_url_required.md"),
    check,
)
.fixed()
.cause(Cause::Required);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    if context.build_type() == Some(BuildType::GitRepository) && context.spec.repository_url.is_absent() {
        findings
            .add(FieldId::RepositoryUrl, None, "a GitRepository needs a repository")
            .hint("set it, for example https://github.com/AICoE/elyra-aidevsecops-tutorial");
    }
}
