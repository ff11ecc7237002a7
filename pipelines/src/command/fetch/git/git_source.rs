//! The repository and ref to fetch, and the credential.

use std::path::Path;

use cnbi_shared::contract::{BuildRequest, Reason};
use cnbi_shared::grammar::clone_url::{CloneUrl, Transport};
use cnbi_shared::grammar::git_ref::{is_object_id, validate as validate_git_ref};
use cnbi_shared::verdict::printable;

use crate::error::StepError;
use crate::git::credential::{Access, CredentialError};

/// The repository and ref, validated again.
#[derive(Debug)]
pub(super) struct GitSource {
    /// Clone URL as written.
    pub(super) text: String,
    pub(super) url: CloneUrl,
    pub(super) git_ref: Option<String>,
}

impl GitSource {
    pub(super) fn of(request: &BuildRequest) -> Result<Self, StepError> {
        let text = request
            .repository_url
            .clone()
            .ok_or_else(|| StepError::usage("the request has no repositoryUrl"))?;
        let url = CloneUrl::parse(&text).map_err(|error| StepError::usage(format!("repositoryUrl: {error}")))?;
        if let Some(name) = &request.git_ref {
            validate_git_ref(name).map_err(|error| StepError::usage(format!("gitRef: {error}")))?;
        }
        Ok(Self {
            text,
            url,
            git_ref: request.git_ref.clone(),
        })
    }

    /// The host in the notation of Git's credential helpers.
    pub(super) fn host(&self) -> String {
        match self.url.port() {
            Some(port) => format!("{}:{port}", self.url.host()),
            None => self.url.host().to_owned(),
        }
    }

    pub(super) fn access(&self, secret: Option<&Path>, home: &Path) -> Result<Option<Access>, StepError> {
        let Some(folder) = secret.filter(|folder| folder.is_dir()) else {
            return match self.url.transport() {
                Transport::Https => Ok(None),
                Transport::Ssh => Err(StepError::new(
                    Reason::GitUnauthorized,
                    format!(
                        "spec.repositoryUrl uses SSH, but no key for {} is configured; use an https URL or ask the admin to configure one",
                        self.host()
                    ),
                )),
            };
        };
        match self.url.transport() {
            Transport::Https => Access::https(folder, "https", &self.host()),
            Transport::Ssh => Access::ssh(folder, home),
        }
        .map(Some)
        .map_err(|error| match error {
            CredentialError::Missing(_) => StepError::new(Reason::GitUnauthorized, error.to_string()),
            CredentialError::Io(_) => StepError::other(error.to_string()),
        })
    }

    /// Candidates for the full name of the ref, in order. As in `git clone --branch`, branches precede tags.
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

    /// The ref if it is a complete commit id.
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

    fn request(url: &str, git_ref: Option<&str>) -> BuildRequest {
        BuildRequest {
            repository_url: Some(url.to_owned()),
            git_ref: git_ref.map(str::to_owned),
            ..BuildRequest::default()
        }
    }

    #[test]
    fn options_and_other_transports_are_rejected() {
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
            let error = GitSource::of(&request(url, git_ref)).unwrap_err();
            assert_eq!(error.exit, crate::error::Exit::Usage, "{url} {git_ref:?}");
            assert!(!error.message.contains("u:p"), "{}", error.message);
        }
    }

    #[test]
    fn refs_are_resolved_in_the_order_of_git_clone() {
        let names = |git_ref| GitSource::of(&request("https://x.io/a", git_ref)).unwrap().names();
        assert_eq!(names(None), ["HEAD"]);
        assert_eq!(names(Some("v1")), ["refs/heads/v1", "refs/tags/v1"]);
        assert_eq!(names(Some("refs/pull/1/head"))[0], "refs/pull/1/head");
    }

    #[test]
    fn ssh_without_a_key_is_rejected() {
        let wanted = GitSource::of(&request("git@x.io:a/b", None)).unwrap();
        let home = tempfile::tempdir().unwrap();
        let error = wanted.access(None, home.path()).unwrap_err();
        assert_eq!(error.reason, Some(Reason::GitUnauthorized));
    }
}
