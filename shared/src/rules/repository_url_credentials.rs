//! CNB303: no password and no token in a URL.

use super::{Context, Findings, Rule, rule};
use crate::grammar::clone_url::CloneUrlError;
use crate::path::FieldId;
use crate::verdict::Cause;

pub(super) const RULE: Rule = rule(
    "CNB303",
    "repository-url-credentials",
    "the repository's URL carries no credentials",
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
                "carries a user, a password or a token",
            )
            .hint(
                "take it out and replace it where it is in use, because others may have seen it; \
                 the cluster's admin can configure credentials for a Git host",
            );
    }
}
