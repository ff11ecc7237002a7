//! CNB306: repositories come from allowed Git hosts.

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
    "the Git host is allowed",
    include_str!("repository_allowed.md"),
    check,
)
.cause(Cause::NotSupported);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(repository) = context.repository() else { return };
    let Ok(url) = &repository.url else { return };
    let allowed = &context.config.repositories.allowed;
    if allowed.is_empty() && !context.has_cluster_config() {
        findings.not_checked(FieldId::RepositoryUrl, Lookup::Configuration);
        return;
    }
    let rejection = if allowed.is_empty() {
        not_public(url).filter(|_| !has_credentials(context.config, url))
    } else if allowed.iter().any(|entry| is_host(entry, url)) {
        None
    } else {
        Some((
            format!("the Git host {} is not allowed", url.host()),
            format!(
                "use a repository on one of: {}",
                listed(allowed.iter().map(|entry| printable(entry, 120)))
            ),
        ))
    };
    if let Some((message, hint)) = rejection {
        let finding = if is_showable(repository.text) {
            findings.add(FieldId::RepositoryUrl, Some(repository.text), message)
        } else {
            findings.add_hidden(FieldId::RepositoryUrl, repository.text, message)
        };
        finding.hint(hint);
    }
}

/// The message and hint for a URL that is not allowed when the admin lists no hosts.
fn not_public(url: &CloneUrl) -> Option<(String, String)> {
    if !is_public(url.host()) {
        return Some((
            format!("{} is not a public host; only public hosts are allowed", url.host()),
            "use a public https URL, or ask the cluster admin to allow the host".to_owned(),
        ));
    }
    (url.transport() == Transport::Ssh).then(|| {
        (
            format!(
                "ssh needs credentials, and none are configured for the host {}",
                url.host()
            ),
            "use the https URL, or ask the cluster admin to configure credentials".to_owned(),
        )
    })
}
