//! CNB305: credentials are configured for private Git hosts.

use super::git_host::{has_credentials, is_public};
use super::repository_url::is_showable;
use super::{Context, Findings, Rule, rule};
use crate::facts::Lookup;
use crate::grammar::clone_url::Transport;
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB305",
    "repository-credentials",
    "credentials are configured for private Git hosts",
    include_str!("repository_credentials.md"),
    check,
)
.warn();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(repository) = context.repository() else { return };
    let Ok(url) = &repository.url else { return };
    // Whether a repository on a public https host is private cannot be known here.
    let needs_credentials = url.transport() == Transport::Ssh || !is_public(url.host());
    if !needs_credentials || has_credentials(context.config, url) {
        return;
    }
    if !context.has_cluster_config() {
        findings.not_checked(FieldId::RepositoryUrl, Lookup::Configuration);
        return;
    }
    let message = format!("no credentials are configured for the Git host {}", url.host());
    let finding = if is_showable(repository.text) {
        findings.add(FieldId::RepositoryUrl, Some(repository.text), message)
    } else {
        findings.add_hidden(FieldId::RepositoryUrl, repository.text, message)
    };
    match url.transport() {
        Transport::Ssh => {
            finding.hint("use the https URL if the repository is public, or ask the cluster admin to configure credentials")
        }
        Transport::Https => {
            finding.hint("if the repository is private, ask the cluster admin to configure credentials")
        }
    };
}
