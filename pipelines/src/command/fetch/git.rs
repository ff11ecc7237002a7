//! `fetch git`: downloads one commit of a repository as plain files.
//!
//! Uses only the admin's credential for the host. Submodules stay empty, hooks and filters do not run, and the folder `.git` is removed,
//! so that later steps do not run Git on untrusted files.

mod git_source;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cnbi_shared::contract::{self, Reason, results, tasks};
use cnbi_shared::grammar::git_ref::is_object_id;

use self::git_source::GitSource;
use crate::args::{RequestArgs, TaskArgs, TaskContext};
use crate::command::StepContract;
use crate::error::StepError;
use crate::git::{Git, GitError, RemoteError, remote_error};
use crate::program::ProgramError;
use crate::report::Report;
use crate::source_tree;
use crate::workspace;

pub(in crate::command) const CONTRACT: StepContract = StepContract {
    name: "fetch git",
    tasks: &[(&contract::GIT_REPOSITORY, tasks::FETCH)],
    reasons: &[
        Reason::GitRefNotFound,
        Reason::GitUnauthorized,
        Reason::SourceRepositoryUnavailable,
    ],
    results: &[results::COMMIT],
};

/// Local ref of the commit.
const HERE: &str = "refs/cnbi/source";

/// Arguments of `fetch git`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    task: TaskArgs,
    /// Folder of the Secret with the Git credentials: `password` or `token`, and optionally `username`; or `ssh-privatekey` and
    /// `known_hosts`. Empty if not configured
    #[arg(long, value_name = "FOLDER", value_parser = workspace::optional_folder)]
    git_credentials: Option<PathBuf>,
    /// Maximum size of the repository in MiB
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    most: u64,
    /// Time limit in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
}

/// Runs the subcommand.
pub(in crate::command) fn run(args: &Args) -> Result<Report, StepError> {
    let request = args.request.read()?;
    let source_ref = GitSource::of(&request)?;
    let TaskContext { home, egress, .. } = args.task.context()?;
    let access = source_ref.access(args.git_credentials.as_deref(), home.path())?;
    let source = args.task.work.source();
    workspace::recreate(&source)?;
    let git = Git::local(&source, home.path()).with_remote(source_ref.url.scheme(), &egress, access.as_ref());
    let fetch = Fetch {
        git: &git,
        source: &source,
        source_ref: &source_ref,
        most: args.most << 20,
        time: Duration::from_secs(args.timeout),
    };
    let commit = fetch.run()?;
    fs::remove_dir_all(source.join(".git"))
        .map_err(|error| StepError::other(format!("cannot remove the folder .git: {error}")))?;
    Ok(Report::new().with(results::COMMIT, commit))
}

struct Fetch<'a> {
    git: &'a Git,
    source: &'a Path,
    source_ref: &'a GitSource,
    most: u64,
    time: Duration,
}

impl Fetch<'_> {
    fn run(&self) -> Result<String, StepError> {
        let (refspec, is_sha256) = self.find()?;
        let format = if is_sha256 { "sha256" } else { "sha1" };
        let format = format!("--object-format={format}");
        self.local(&["init", "--quiet", "--template=", &format, "--initial-branch=cnbi"])?;
        let refspec = format!("+{refspec}:{HERE}");
        self.remote(
            &[
                "fetch",
                "--quiet",
                "--depth=1",
                "--no-tags",
                "--no-recurse-submodules",
                "--no-write-fetch-head",
                "--",
                &self.source_ref.text,
                &refspec,
            ],
            true,
        )?;
        let commit = format!("{HERE}^{{commit}}");
        let commit = self
            .git
            .run(&["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])
            .map_err(|_| self.no_ref("is not a commit"))?;
        if !is_object_id(&commit) {
            return Err(StepError::other("git rev-parse returned no commit id"));
        }
        self.local(&["checkout", "--quiet", "--detach", &commit])?;
        Ok(commit)
    }

    /// The remote ref or commit id to fetch, and whether the repository uses SHA-256.
    fn find(&self) -> Result<(String, bool), StepError> {
        let names = self.source_ref.names();
        let mut args = vec!["ls-remote", "--quiet", "--", &self.source_ref.text];
        args.extend(names.iter().map(String::as_str));
        let listed = self.remote(&args, false)?;
        let found = |name: &str| {
            let lines = listed.lines().filter_map(|line| line.split_once('\t'));
            lines
                .into_iter()
                .find(|(_, found)| *found == name)
                .map(|(id, _)| id.len() == 64)
        };
        if let Some(found) = names.iter().find_map(|name| Some((name.clone(), found(name)?))) {
            return Ok(found);
        }
        match self.source_ref.object() {
            Some(id) => Ok((id.to_ascii_lowercase(), id.len() == 64)),
            None => Err(self.no_ref("is not a branch, a tag or a complete commit id; correct spec.gitRef")),
        }
    }

    fn no_ref(&self, what: &str) -> StepError {
        let what = match self.source_ref.git_ref {
            Some(_) => what,
            None => "does not exist: the repository is empty or has no default branch; set spec.gitRef",
        };
        StepError::new(
            Reason::GitRefNotFound,
            format!("{} {what}", self.source_ref.shown_ref()),
        )
    }

    fn local(&self, args: &[&str]) -> Result<String, StepError> {
        self.git
            .run_long(args, b"", self.time, &mut || self.watch())
            .map_err(|error| match error {
                GitError::Child(ProgramError::Stopped(why)) => StepError::other(why),
                error => StepError::other(error.to_string()),
            })
    }

    fn remote(&self, args: &[&str], is_fetch: bool) -> Result<String, StepError> {
        let host = self.source_ref.host();
        let error = match self.git.run_long(args, b"", self.time, &mut || self.watch()) {
            Ok(output) => return Ok(output),
            Err(error) => error,
        };
        let (reason, message) = match &error {
            GitError::Child(ProgramError::Stopped(why)) => return Err(StepError::other(why)),
            GitError::Child(ProgramError::TimedOut { .. }) => (
                Reason::SourceRepositoryUnavailable,
                format!("{host} did not respond in time: {error}"),
            ),
            GitError::Child(_) => return Err(StepError::other(error.to_string())),
            GitError::Failed { stderr, .. } => match remote_error(stderr) {
                RemoteError::RefNotFound => {
                    return Err(self.no_ref("does not exist in the repository; correct spec.gitRef"));
                }
                // The message of Git's protocol version 0. The ref itself was listed before.
                RemoteError::Unavailable if is_fetch && stderr.contains("no such remote ref") => {
                    return Err(self.no_ref("does not exist in the repository; correct spec.gitRef"));
                }
                RemoteError::Unauthorized => (
                    Reason::GitUnauthorized,
                    format!("{host} denied access to the repository: {error}"),
                ),
                RemoteError::RepositoryNotFound => (
                    Reason::GitUnauthorized,
                    format!(
                        "{host} has no such repository, or CNBi has no access; check spec.repositoryUrl and the admin's Git credentials"
                    ),
                ),
                RemoteError::Redirected => (
                    Reason::GitUnauthorized,
                    "the repository has moved; use its new URL in spec.repositoryUrl".to_owned(),
                ),
                RemoteError::Unavailable => (
                    Reason::SourceRepositoryUnavailable,
                    format!("cannot fetch from {host}: {error}"),
                ),
            },
        };
        Err(StepError::new(reason, message))
    }

    fn watch(&self) -> Result<(), String> {
        source_tree::within(self.source, self.most).map_err(|_| {
            format!(
                "the repository is larger than {} MiB, the maximum for builds",
                self.most >> 20
            )
        })
    }
}
