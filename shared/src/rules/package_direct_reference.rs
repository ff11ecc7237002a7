//! CNB205: packages come from an index, not from a URL.

use url::Url;

use super::{Context, Findings, Rule, rule};
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB205",
    "package-direct-reference",
    "packages come from a package index",
    include_str!("package_direct_reference.md"),
    check,
);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (package, requirement) in context.requirements() {
        let Some(url) = requirement.url() else { continue };
        let path = FieldId::PackageVersions.item(package.index);
        match classify(url) {
            UrlKind::Credentials => {
                findings
                    .add_hidden(path, package.text, "the URL contains credentials, which every reader of the resource can see")
                    .hint("remove and rotate them, and ask the cluster admin to provide the package on an index");
            }
            UrlKind::Insecure => {
                findings
                    .add_unless_secret(path, package.text, "the URL does not begin with https:// or git+https://")
                    .hint("use the package name, or an https URL");
            }
            UrlKind::Repository => {
                findings
                    .warn_unless_secret(
                        path,
                        package.text,
                        "a version control URL has no hash to lock, so the build will fail",
                    )
                    .hint(format!(
                        "use {} with version specifiers, or the URL of a source archive of the commit, for example \
                         https://github.com/owner/name/archive/<commit>.zip",
                        requirement.name()
                    ));
            }
            UrlKind::Direct => {
                findings
                    .warn_unless_secret(
                        path,
                        package.text,
                        "is installed from a URL, so updates and security fixes cannot be found",
                    )
                    .hint(format!(
                        "if an index has the package, use {} with version specifiers",
                        requirement.name()
                    ));
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum UrlKind {
    /// Contains a user, password or token.
    Credentials,
    /// No TLS, or not a valid URL.
    Insecure,
    /// A version control URL: no file and no hash to lock.
    Repository,
    /// An https URL of a file.
    Direct,
}

fn classify(url: &str) -> UrlKind {
    let Some((scheme, rest)) = url.split_once("://") else {
        return if url.contains('@') {
            UrlKind::Credentials
        } else {
            UrlKind::Insecure
        };
    };
    // Up to the path, as in Python's `urlsplit`, which does not end the authority at a backslash.
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_secure = ["https", "git+https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known));
    // `git` is the common user of Git hosts for ssh; it is not a secret.
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    if user.is_some_and(|user| is_secure || user != "git") {
        return UrlKind::Credentials;
    }
    if !is_secure {
        return UrlKind::Insecure;
    }
    match Url::parse(&format!("https://{rest}")) {
        Ok(parsed) if !parsed.username().is_empty() || parsed.password().is_some() => UrlKind::Credentials,
        Ok(_) if authority.is_empty() || authority.contains('\\') => UrlKind::Insecure,
        Ok(_) if !scheme.eq_ignore_ascii_case("https") => UrlKind::Repository,
        Ok(_) => UrlKind::Direct,
        Err(_) => UrlKind::Insecure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_classified() {
        for (url, kind) in [
            ("https://files.example/x.whl", UrlKind::Direct),
            ("git+https://github.com/a/b@v1", UrlKind::Repository),
            ("git+https://github.com/a/b@v1#egg=b", UrlKind::Repository),
            ("HTTPS://files.example/x.whl", UrlKind::Direct),
            ("https://u:p@files.example/x.whl", UrlKind::Credentials),
            ("git+https://token@github.com/a/b", UrlKind::Credentials),
            ("https://${TOKEN}@github.com/a/b", UrlKind::Credentials),
            ("https://x.io\\@y.io/a", UrlKind::Credentials),
            ("http://u:p@files.example/x.whl", UrlKind::Credentials),
            ("git+ssh://git@github.com/a/b", UrlKind::Insecure),
            ("git+ssh://git:p@github.com/a/b", UrlKind::Credentials),
            ("git+https://git@github.com/a/b", UrlKind::Credentials),
            ("https:u:p@x.io/a", UrlKind::Credentials),
            ("http://files.example/x.whl", UrlKind::Insecure),
            ("git+http://github.com/a/b", UrlKind::Insecure),
            ("file:///etc/passwd", UrlKind::Insecure),
            ("../../etc/passwd", UrlKind::Insecure),
            ("1.2", UrlKind::Insecure),
            ("https://", UrlKind::Insecure),
            ("https:///x", UrlKind::Insecure),
            ("https://x:port/a", UrlKind::Insecure),
            ("https://x.io\\y/a", UrlKind::Insecure),
        ] {
            assert_eq!(classify(url), kind, "{url}");
        }
    }
}
