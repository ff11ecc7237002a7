//! CNB205: a package that is fetched from a URL instead of an index.

use url::Url;

use super::{Context, Findings, Rule, rule};
use crate::path::FieldId;

pub(super) const RULE: Rule = rule(
    "CNB205",
    "package-direct-reference",
    "packages come from an index",
    include_str!("package_direct_reference.md"),
    check,
);

fn check(context: &Context<'_>, findings: &mut Findings<'_>) {
    for (package, requirement) in context.requirements() {
        let Some(url) = requirement.url() else { continue };
        let path = FieldId::PackageVersions.item(package.index);
        match judge(url) {
            Grade::Credentials => {
                findings
                    .add_hidden(path, package.text, "the URL carries credentials, which everybody who sees the resource can read")
                    .hint("take them out, replace them where they are in use, and have the admin offer the package on an index");
            }
            Grade::Insecure => {
                findings
                    .add_unless_secret(path, package.text, "the URL is neither https:// nor git+https://")
                    .hint("name the package by its name, or give an https URL");
            }
            Grade::Repository => {
                findings
                    .warn_unless_secret(
                        path,
                        package.text,
                        "is fetched from a repository, which no hash can be locked for, so its build will be refused",
                    )
                    .hint(format!(
                        "where an index has it, write {} with version specifiers; or else give the URL of an archive of the \
                         commit, such as https://github.com/owner/name/archive/<commit>.zip",
                        requirement.name()
                    ));
            }
            Grade::Direct => {
                findings
                    .warn_unless_secret(
                        path,
                        package.text,
                        "is fetched from a URL, so nobody can find newer or safer versions of it",
                    )
                    .hint(format!(
                        "where an index has it, write {} with version specifiers",
                        requirement.name()
                    ));
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Grade {
    /// Somebody's user, password or token is in it.
    Credentials,
    /// Whoever is on the way can exchange what is fetched; or it is no URL that could be fetched.
    Insecure,
    /// A version control system keeps it, so there is no file whose hash could be locked.
    Repository,
    /// Legal, if not a good idea.
    Direct,
}

fn judge(url: &str) -> Grade {
    let Some((scheme, rest)) = url.split_once("://") else {
        return if url.contains('@') {
            Grade::Credentials
        } else {
            Grade::Insecure
        };
    };
    // Up to the path, as Python's `urlsplit` has it: that a backslash ends it as well is not common knowledge.
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_secure = ["https", "git+https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known));
    // `git` is the user that Git hosts have for everybody who comes with an ssh key.
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    if user.is_some_and(|user| is_secure || user != "git") {
        return Grade::Credentials;
    }
    if !is_secure {
        return Grade::Insecure;
    }
    match Url::parse(&format!("https://{rest}")) {
        Ok(parsed) if !parsed.username().is_empty() || parsed.password().is_some() => Grade::Credentials,
        Ok(_) if authority.is_empty() || authority.contains('\\') => Grade::Insecure,
        Ok(_) if !scheme.eq_ignore_ascii_case("https") => Grade::Repository,
        Ok(_) => Grade::Direct,
        Err(_) => Grade::Insecure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_their_grades() {
        for (url, grade) in [
            ("https://files.example/x.whl", Grade::Direct),
            ("git+https://github.com/a/b@v1", Grade::Repository),
            ("git+https://github.com/a/b@v1#egg=b", Grade::Repository),
            ("HTTPS://files.example/x.whl", Grade::Direct),
            ("https://u:p@files.example/x.whl", Grade::Credentials),
            ("git+https://token@github.com/a/b", Grade::Credentials),
            ("https://${TOKEN}@github.com/a/b", Grade::Credentials),
            ("https://x.io\\@y.io/a", Grade::Credentials),
            ("http://u:p@files.example/x.whl", Grade::Credentials),
            ("git+ssh://git@github.com/a/b", Grade::Insecure),
            ("git+ssh://git:p@github.com/a/b", Grade::Credentials),
            ("git+https://git@github.com/a/b", Grade::Credentials),
            ("https:u:p@x.io/a", Grade::Credentials),
            ("http://files.example/x.whl", Grade::Insecure),
            ("git+http://github.com/a/b", Grade::Insecure),
            ("file:///etc/passwd", Grade::Insecure),
            ("../../etc/passwd", Grade::Insecure),
            ("1.2", Grade::Insecure),
            ("https://", Grade::Insecure),
            ("https:///x", Grade::Insecure),
            ("https://x:port/a", Grade::Insecure),
            ("https://x.io\\y/a", Grade::Insecure),
        ] {
            assert_eq!(judge(url), grade, "{url}");
        }
    }
}
