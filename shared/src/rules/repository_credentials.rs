//! CNB305: a repository that can hardly be cloned without credentials, and there are none.

use super::git_host::{has_credentials, is_public};
use super::repository_url::is_showable;
use super::{Context, Findings, Rule, rule};
use crate::facts::Lookup;
use crate::grammar::clone_url::Transport;
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB305",
    "repository-credentials",
    "there are credentials for hosts that ask for them",
    include_str!("repository_credentials.md"),
    check,
)
.warn();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(repository) = context.repository() else { return };
    let Ok(url) = &repository.url else { return };
    // A public https host serves what is public to everybody, and nobody can see from here whether a repository is.
    let asks = url.transport() == Transport::Ssh || !is_public(url.host());
    if !asks || has_credentials(context.config, url) {
        return;
    }
    if !context.knows_configuration() {
        findings.undecided(FieldId::RepositoryUrl, Lookup::Configuration);
        return;
    }
    let message = format!("no Git credentials are configured here for the host {}", url.host());
    let finding = if is_showable(repository.text) {
        findings.add(FieldId::RepositoryUrl, Some(repository.text), message)
    } else {
        findings.add_hidden(FieldId::RepositoryUrl, repository.text, message)
    };
    match url.transport() {
        Transport::Ssh => {
            finding.hint("use the https URL where the repository is public, or ask the cluster's admin for credentials")
        }
        Transport::Https => {
            finding.hint("ask the cluster's admin for credentials if the repository is not open to everybody")
        }
    };
}
