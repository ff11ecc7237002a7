//! CNB306: repositories come from where the admin lets them come from.

use super::git_host::{has_credentials, is_host, is_public};
use super::repository_url::is_showable;
use super::{Context, Findings, Rule, rule};
use crate::facts::Lookup;
use crate::grammar::clone_url::{CloneUrl, Transport};
use crate::path::FieldId;
use crate::verdict::{Cause, listed, printable};

pub(super) const RULE: Rule = rule(
    "CNB306",
    "repository-allowed",
    "the repository's host is an allowed one",
    include_str!("repository_allowed.md"),
    check,
)
.cause(Cause::NotSupported);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(repository) = context.repository() else { return };
    let Ok(url) = &repository.url else { return };
    let allowed = &context.config.repositories.allowed;
    if allowed.is_empty() && !context.knows_configuration() {
        findings.undecided(FieldId::RepositoryUrl, Lookup::Configuration);
        return;
    }
    let refusal = if allowed.is_empty() {
        not_public(url).filter(|_| !has_credentials(context.config, url))
    } else if allowed.iter().any(|entry| is_host(entry, url)) {
        None
    } else {
        Some((
            format!("this cluster builds nothing from the host {}", url.host()),
            format!(
                "use a repository on one of: {}",
                listed(allowed.iter().map(|entry| printable(entry, 120)))
            ),
        ))
    };
    if let Some((message, hint)) = refusal {
        let finding = if is_showable(repository.text) {
            findings.add(FieldId::RepositoryUrl, Some(repository.text), message)
        } else {
            findings.add_hidden(FieldId::RepositoryUrl, repository.text, message)
        };
        finding.hint(hint);
    }
}

/// What speaks against a URL where the admin names no hosts. One with credentials the admin has named.
fn not_public(url: &CloneUrl) -> Option<(String, String)> {
    if !is_public(url.host()) {
        return Some((
            format!("{} is no public host, and only those are allowed here", url.host()),
            "use a public https URL, or ask the cluster's admin to allow the host".to_owned(),
        ));
    }
    (url.transport() == Transport::Ssh).then(|| {
        (
            format!(
                "ssh needs credentials, and none are configured here for the host {}",
                url.host()
            ),
            "use the https URL, or ask the cluster's admin for credentials".to_owned(),
        )
    })
}
