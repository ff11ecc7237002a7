//! `record-source`: says which commit the canonical form of a package list is, and pushes it to the admin's Git host, where one
//! is configured.
//!
//! The task before it is not trusted, and a repository can make Git run programs. So nothing of the prepared repository is
//! used but its three files: the commit is made anew from them, and nobody else's word for it is taken.

use std::path::PathBuf;
use std::time::Duration;

use cnbi_shared::contract::{self, Reason, results, tasks};
use cnbi_shared::grammar::dns;
use url::Url;

use super::Duty;
use crate::args::{Begun, TaskArgs};
use crate::canonical::Canonical;
use crate::child;
use crate::failure::Failure;
use crate::git::credential::{Access, CredentialError};
use crate::git::{Git, GitError, Refusal, refusal};
use crate::report::Report;
use crate::work;

pub(super) const DUTY: Duty = Duty {
    name: "record-source",
    tasks: &[(&contract::PACKAGE_LIST, tasks::RECORD_SOURCE)],
    reasons: &[Reason::GitUnauthorized, Reason::SourceRepositoryUnavailable],
    results: &[results::SOURCE_URL, results::COMMIT],
};

/// The branch that has the newest source.
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
    /// Generation of the resource; its source stays under the tag v<generation>
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    resource_generation: u64,
    /// Folder of the Secret with the credential for the Git host: `password` or `token`, perhaps `username`. Left out, or empty, where
    /// none is needed
    #[arg(long, value_name = "FOLDER", value_parser = work::optional_folder)]
    source_credentials: Option<PathBuf>,
    /// Most seconds that it may take
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
}

pub(super) fn run(args: &Args) -> Result<Report, Failure> {
    let Begun {
        settings,
        home,
        outside,
    } = args.task.begin()?;
    let canonical = Canonical::read(&args.task.work.source())?;
    let folder = work::scratch()?;
    let git = Git::local(folder.path(), home.path());
    let commit = canonical
        .commit(&git, BRANCH)
        .map_err(|error| Failure::unforeseen(error.to_string()))?;
    let report = Report::new().with(results::COMMIT, &commit);
    if settings.source.base_url.is_empty() {
        return Ok(report);
    }
    let place = Place::of(&settings.source.base_url, &args.resource_namespace, &args.resource_name)?;
    let access = match args.source_credentials.as_deref().filter(|folder| folder.is_dir()) {
        None => None,
        Some(folder) => Some(
            Access::https(folder, place.scheme, &place.host).map_err(|error| match error {
                CredentialError::Missing(_) => Failure::new(Reason::GitUnauthorized, error.to_string()),
                CredentialError::Io(_) => Failure::unforeseen(error.to_string()),
            })?,
        ),
    };
    // The files of one generation can change, when the index has newer versions: what was built last counts.
    let branch = format!("+{commit}:refs/heads/{BRANCH}");
    let tag = format!("+{commit}:refs/tags/v{}", args.resource_generation);
    git.reaching(place.scheme, &outside, access.as_ref())
        .run_long(
            &[
                "push",
                "--quiet",
                "--no-verify",
                "--no-signed",
                "--",
                &place.url,
                &branch,
                &tag,
            ],
            b"",
            Duration::from_secs(args.timeout),
            &mut child::unwatched,
        )
        .map_err(|error| refused(&place, &error))?;
    Ok(report.with(results::SOURCE_URL, place.url))
}

/// Where the source of a resource is kept.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    url: String,
    scheme: &'static str,
    host: String,
}

impl Place {
    fn of(base: &str, namespace: &str, name: &str) -> Result<Self, Failure> {
        dns::label(namespace).map_err(|error| Failure::usage(format!("--resource-namespace {error}")))?;
        dns::subdomain(name).map_err(|error| Failure::usage(format!("--resource-name {error}")))?;
        let wrong = || Failure::usage("source.baseUrl is no URL to push to");
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

fn refused(place: &Place, error: &GitError) -> Failure {
    let Place { host, .. } = place;
    let unavailable = |what: String| Failure::new(Reason::SourceRepositoryUnavailable, what);
    match error {
        GitError::Child(_) => unavailable(format!("{host} is too slow: {error}")),
        GitError::Failed { stderr, .. } => match refusal(stderr) {
            Refusal::Unauthorized => Failure::new(
                Reason::GitUnauthorized,
                format!("{host} does not let us push the source: {error}"),
            ),
            Refusal::NoRepository => Failure::new(
                Reason::GitUnauthorized,
                format!("{host} has no repository for the source, or does not show it to us"),
            ),
            Refusal::NoRef | Refusal::Moved | Refusal::Unavailable => {
                unavailable(format!("the source could not be pushed to {host}: {error}"))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_resource_has_its_place() {
        let place = Place::of("https://git.example:8443/cnbi/", "team-a", "pandas.x").unwrap();
        assert_eq!(place.url, "https://git.example:8443/cnbi/team-a/pandas.x.git");
        assert_eq!((place.scheme, place.host.as_str()), ("https", "git.example:8443"));
        for (base, namespace, name) in [
            ("ssh://git.example", "a", "b"),
            ("file:///x", "a", "b"),
            ("https://u:p@git.example", "a", "b"),
            ("https://git.example", "../x", "b"),
            ("https://git.example", "a", "b/../c"),
            ("https://git.example", "a", "--mirror"),
        ] {
            assert!(Place::of(base, namespace, name).is_err(), "{base} {namespace} {name}");
        }
    }
}
