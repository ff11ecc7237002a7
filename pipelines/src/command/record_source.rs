//! `record-source`: creates the commit of a package list's canonical form and pushes it to the admin's Git host, if one is configured.
//!
//! The previous task is untrusted and a repository can make Git run programs. So only the three files are used, and the commit is created
//! again.

use std::path::PathBuf;
use std::time::Duration;

use cnbi_shared::contract::{self, Reason, results, tasks};
use cnbi_shared::grammar::dns;
use url::Url;

use super::StepContract;
use crate::args::{TaskArgs, TaskContext};
use crate::canonical::Canonical;
use crate::error::StepError;
use crate::git::credential::{Access, CredentialError};
use crate::git::{Git, GitError, RemoteError, remote_error};
use crate::program;
use crate::report::Report;
use crate::workspace;

pub(super) const CONTRACT: StepContract = StepContract {
    name: "record-source",
    tasks: &[(&contract::PACKAGE_LIST, tasks::RECORD_SOURCE)],
    reasons: &[Reason::GitUnauthorized, Reason::SourceRepositoryUnavailable],
    results: &[results::SOURCE_URL, results::COMMIT],
};

/// The branch with the newest source.
const BRANCH: &str = "main";

/// Arguments of `record-source`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    task: TaskArgs,
    /// Namespace of the resource
    #[arg(long, value_name = "NAME")]
    resource_namespace: String,
    /// Name of the resource
    #[arg(long, value_name = "NAME")]
    resource_name: String,
    /// Generation of the resource. Its source gets the tag v<generation>
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    resource_generation: u64,
    /// Folder of the Secret with the Git credentials (source.secret): `password` or `token`, and optionally `username`. Empty if not
    /// configured
    #[arg(long, value_name = "FOLDER", value_parser = workspace::optional_folder)]
    source_credentials: Option<PathBuf>,
    /// Time limit in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
}

pub(super) fn run(args: &Args) -> Result<Report, StepError> {
    let TaskContext { settings, home, egress } = args.task.context()?;
    let canonical = Canonical::read(&args.task.work.source())?;
    let folder = workspace::scratch()?;
    let git = Git::local(folder.path(), home.path());
    let commit = canonical
        .commit(&git, BRANCH)
        .map_err(|error| StepError::other(error.to_string()))?;
    let report = Report::new().with(results::COMMIT, &commit);
    if settings.source.base_url.is_empty() {
        return Ok(report);
    }
    let target = TargetRepository::of(&settings.source.base_url, &args.resource_namespace, &args.resource_name)?;
    let access = match args.source_credentials.as_deref().filter(|folder| folder.is_dir()) {
        None => None,
        Some(folder) => Some(
            Access::https(folder, target.scheme, &target.host).map_err(|error| match error {
                CredentialError::Missing(_) => StepError::new(Reason::GitUnauthorized, error.to_string()),
                CredentialError::Io(_) => StepError::other(error.to_string()),
            })?,
        ),
    };
    // A retry of a generation can have other files, when the index has newer versions. The last build wins.
    let branch = format!("+{commit}:refs/heads/{BRANCH}");
    let tag = format!("+{commit}:refs/tags/v{}", args.resource_generation);
    git.with_remote(target.scheme, &egress, access.as_ref())
        .run_long(
            &[
                "push",
                "--quiet",
                "--no-verify",
                "--no-signed",
                "--",
                &target.url,
                &branch,
                &tag,
            ],
            b"",
            Duration::from_secs(args.timeout),
            &mut program::never_stop,
        )
        .map_err(|error| push_error(&target, &error))?;
    Ok(report.with(results::SOURCE_URL, target.url))
}

/// The repository for a resource's source.
#[derive(Debug, PartialEq, Eq)]
struct TargetRepository {
    url: String,
    scheme: &'static str,
    host: String,
}

impl TargetRepository {
    fn of(base: &str, namespace: &str, name: &str) -> Result<Self, StepError> {
        dns::validate_label(namespace).map_err(|error| StepError::usage(format!("--resource-namespace {error}")))?;
        dns::validate_subdomain(name).map_err(|error| StepError::usage(format!("--resource-name {error}")))?;
        let wrong = || StepError::usage("source.baseUrl must be an http or https URL without credentials and query");
        let parsed = Url::parse(base).map_err(|_| wrong())?;
        let scheme = match parsed.scheme() {
            "https" => "https",
            "http" => "http",
            _ => return Err(wrong()),
        };
        if !parsed.username().is_empty() || parsed.password().is_some() || parsed.query().is_some() {
            return Err(wrong());
        }
        let host = parsed.host_str().ok_or_else(wrong)?;
        let host = parsed
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Ok(Self {
            url: format!("{}/{namespace}/{name}.git", base.trim_end_matches('/')),
            scheme,
            host,
        })
    }
}

fn push_error(target: &TargetRepository, error: &GitError) -> StepError {
    let TargetRepository { host, .. } = target;
    let unavailable = |what: String| StepError::new(Reason::SourceRepositoryUnavailable, what);
    match error {
        GitError::Child(_) => unavailable(format!("{host} did not respond in time: {error}")),
        GitError::Failed { stderr, .. } => match remote_error(stderr) {
            RemoteError::Unauthorized => StepError::new(
                Reason::GitUnauthorized,
                format!("{host} denied the push of the source: {error}; check source.secret"),
            ),
            RemoteError::RepositoryNotFound => StepError::new(
                Reason::GitUnauthorized,
                format!(
                    "{host} has no repository for the source, or CNBi has no access; create it or check source.secret"
                ),
            ),
            RemoteError::RefNotFound | RemoteError::Redirected | RemoteError::Unavailable => {
                unavailable(format!("cannot push the source to {host}: {error}"))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_resource_has_its_own_repository() {
        let target = TargetRepository::of("https://git.example:8443/cnbi/", "team-a", "pandas.x").unwrap();
        assert_eq!(target.url, "https://git.example:8443/cnbi/team-a/pandas.x.git");
        assert_eq!((target.scheme, target.host.as_str()), ("https", "git.example:8443"));
        for (base, namespace, name) in [
            ("ssh://git.example", "a", "b"),
            ("file:///x", "a", "b"),
            ("https://u:p@git.example", "a", "b"),
            ("https://git.example", "../x", "b"),
            ("https://git.example", "a", "b/../c"),
            ("https://git.example", "a", "--mirror"),
        ] {
            assert!(
                TargetRepository::of(base, namespace, name).is_err(),
                "{base} {namespace} {name}"
            );
        }
    }
}
