//! CNB302: repositoryUrl is an https or ssh URL.

use super::secret_detection::may_hold_secret;
use super::{Context, Findings, Rule, rule};
use crate::grammar::clone_url::{CloneUrl, CloneUrlError};
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB302",
    "repository-url",
    "repositoryUrl is an https or ssh URL",
    include_str!("repository_url.md"),
    check,
)
.fixed();

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    let Some(repository) = context.repository() else { return };
    let error = match &repository.url {
        Ok(_) | Err(CloneUrlError::Credentials) => return,
        Err(error) => error,
    };
    let text = repository.text;
    if is_showable(text) {
        let finding = findings.add(FieldId::RepositoryUrl, Some(text), error.to_string());
        match corrected(text) {
            Some(corrected) => finding.replacement(corrected),
            None => finding
                .hint("copy the clone URL from the web page of the repository, for example https://github.com/team/repository"),
        };
    } else {
        findings
            .add_hidden(FieldId::RepositoryUrl, text, error.to_string())
            .hint("copy the clone URL from the web page of the repository, without user, password or token");
    }
}

/// Whether a repository URL can be shown: it contains no user except `git`, and no query or fragment.
pub(super) fn is_showable(text: &str) -> bool {
    let rest = text.strip_prefix("ssh://").unwrap_or(text);
    let rest = rest.strip_prefix("git@").unwrap_or(rest);
    !may_hold_secret(text) && !rest.contains(['@', '?', '#', '\u{ff20}', '\u{fe6b}']) && !rest.contains("%40")
}

/// The corrected URL for common mistakes, such as a missing or unsupported scheme.
fn corrected(text: &str) -> Option<String> {
    let text = text.trim();
    let candidate = match text.split_once("://") {
        Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
            "http" | "git" | "https" | "git+https" => format!("https://{rest}"),
            "ssh" | "git+ssh" | "ssh+git" => format!("ssh://{rest}"),
            _ => return None,
        },
        // `github.com/team/repository`, as an address bar shows it.
        None if text
            .split('/')
            .next()
            .is_some_and(|host| host.contains('.') && !host.starts_with('.')) =>
        {
            format!("https://{text}")
        }
        None => text.to_owned(),
    };
    (CloneUrl::parse(&candidate).is_ok() && is_showable(&candidate)).then_some(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_mistakes_are_corrected() {
        for (text, expected) in [
            ("http://github.com/a/b", Some("https://github.com/a/b")),
            ("git://github.com/a/b", Some("https://github.com/a/b")),
            ("HTTPS://github.com/a/b", Some("https://github.com/a/b")),
            ("git+https://github.com/a/b", Some("https://github.com/a/b")),
            ("git+ssh://git@github.com/a/b", Some("ssh://git@github.com/a/b")),
            (" https://github.com/a/b\n", Some("https://github.com/a/b")),
            ("github.com/a/b", Some("https://github.com/a/b")),
            ("./a/b", None),
            ("../../etc/passwd", None),
            ("file:///a", None),
            ("ext::sh -c x", None),
        ] {
            assert_eq!(corrected(text).as_deref(), expected, "{text}");
        }
    }
}
