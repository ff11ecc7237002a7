//! CNB303: repositoryUrl contains no credentials.

use super::{Context, Findings, Rule, rule};
use crate::grammar::clone_url::CloneUrlError;
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB303",
    "repository-url-credentials",
    "repositoryUrl contains no credentials",
    include_str!("repository_url_credentials.md"),
    check,
)
.fixed()
.cause(Cause::Forbidden);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(repository) = context.repository() else { return };
    if repository.url == Err(CloneUrlError::Credentials) {
        findings
            .add_hidden(
                FieldId::RepositoryUrl,
                repository.text,
                "contains a user, password or token",
            )
            .hint(
                "remove and rotate it, because others may have read it; \
                 the cluster admin can configure credentials for the Git host",
            );
    }
}
