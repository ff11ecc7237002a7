//! Which ref of which repository is to be fetched, and with which credential. Asks nobody.

use std::path::Path;

use cnbi_shared::contract::{Asked, Reason};
use cnbi_shared::grammar::clone_url::{CloneUrl, Transport, clone_url};
use cnbi_shared::grammar::git_ref::{git_ref, is_object_id};
use cnbi_shared::verdict::printable;

use crate::failure::Failure;
use crate::git::credential::{Access, CredentialError};

/// What is to be fetched, checked once more: the rules have refused everything else.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The clone URL as it was written.
    pub(super) text: String,
    pub(super) url: CloneUrl,
    pub(super) git_ref: Option<String>,
}

impl Wanted {
    pub(super) fn of(asked: &Asked) -> Result<Self, Failure> {
        let text = asked
            .repository_url
            .clone()
            .ok_or_else(|| Failure::usage("the request names no repository"))?;
        let url = clone_url(&text).map_err(|error| Failure::usage(format!("repositoryUrl: {error}")))?;
        if let Some(name) = &asked.git_ref {
            git_ref(name).map_err(|error| Failure::usage(format!("gitRef: {error}")))?;
        }
        Ok(Self {
            text,
            url,
            git_ref: asked.git_ref.clone(),
        })
    }

    /// The host as Git names it to its credential helpers.
    pub(super) fn host(&self) -> String {
        match self.url.port() {
            Some(port) => format!("{}:{port}", self.url.host()),
            None => self.url.host().to_owned(),
        }
    }

    pub(super) fn access(&self, secret: Option<&Path>, home: &Path) -> Result<Option<Access>, Failure> {
        let Some(folder) = secret.filter(|folder| folder.is_dir()) else {
            return match self.url.transport() {
                Transport::Https => Ok(None),
                Transport::Ssh => Err(Failure::new(
                    Reason::GitUnauthorized,
                    format!("the admin has given no key for {}, and ssh needs one", self.host()),
                )),
            };
        };
        match self.url.transport() {
            Transport::Https => Access::https(folder, "https", &self.host()),
            Transport::Ssh => Access::ssh(folder, home),
        }
        .map(Some)
        .map_err(|error| match error {
            CredentialError::Missing(_) => Failure::new(Reason::GitUnauthorized, error.to_string()),
            CredentialError::Io(_) => Failure::unforeseen(error.to_string()),
        })
    }

    /// The names under which the remote may have the ref, the first one first: as with `git clone --branch`, a branch goes
    /// before a tag.
    pub(super) fn names(&self) -> Vec<String> {
        match self.git_ref.as_deref() {
            None | Some("HEAD") => vec!["HEAD".to_owned()],
            Some(name) => {
                let mut names = vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")];
                if name.starts_with("refs/") {
                    names.insert(0, name.to_owned());
                }
                names
            }
        }
    }

    /// The ref as a whole object id, where it is one.
    pub(super) fn object(&self) -> Option<&str> {
        self.git_ref.as_deref().filter(|name| is_object_id(name))
    }

    pub(super) fn shown_ref(&self) -> String {
        match &self.git_ref {
            Some(name) => format!("\"{}\"", printable(name, 100)),
            None => "HEAD".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(url: &str, git_ref: Option<&str>) -> Asked {
        Asked {
            repository_url: Some(url.to_owned()),
            git_ref: git_ref.map(str::to_owned),
            ..Asked::default()
        }
    }

    #[test]
    fn what_git_would_take_for_something_else_never_gets_to_it() {
        for (url, git_ref) in [
            ("--upload-pack=touch /x", None),
            ("ext::sh -c x", None),
            ("file:///etc", None),
            ("/etc", None),
            ("https://u:p@x.io/a", None),
            ("https://x.io/a", Some("--upload-pack=x")),
            ("https://x.io/a", Some("a b")),
            ("https://x.io/a", Some("+main:main")),
        ] {
            let error = Wanted::of(&asked(url, git_ref)).unwrap_err();
            assert_eq!(error.exit, crate::failure::Exit::Usage, "{url} {git_ref:?}");
            assert!(!error.message.contains("u:p"), "{}", error.message);
        }
    }

    #[test]
    fn refs_are_looked_for_as_git_does() {
        let names = |git_ref| Wanted::of(&asked("https://x.io/a", git_ref)).unwrap().names();
        assert_eq!(names(None), ["HEAD"]);
        assert_eq!(names(Some("v1")), ["refs/heads/v1", "refs/tags/v1"]);
        assert_eq!(names(Some("refs/pull/1/head"))[0], "refs/pull/1/head");
    }

    #[test]
    fn ssh_without_a_key_is_refused_before_anything_is_asked() {
        let wanted = Wanted::of(&asked("git@x.io:a/b", None)).unwrap();
        let home = tempfile::tempdir().unwrap();
        let error = wanted.access(None, home.path()).unwrap_err();
        assert_eq!(error.reason, Some(Reason::GitUnauthorized));
    }
}
