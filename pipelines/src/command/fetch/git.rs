//! `fetch git`: brings one commit of a repository to the volume, as plain files.
//!
//! Only the admin's credential for that host is used. Submodules stay empty, hooks and filters do not run, and Git's own
//! folder does not stay: nobody after this step runs Git on what a stranger wrote.

mod wanted;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cnbi_shared::contract::{self, Reason, results, tasks};
use cnbi_shared::grammar::git_ref::is_object_id;

use self::wanted::Wanted;
use crate::args::{Begun, RequestArgs, TaskArgs};
use crate::child::ChildError;
use crate::command::Duty;
use crate::failure::Failure;
use crate::git::{Git, GitError, Refusal, refusal};
use crate::report::Report;
use crate::tree;
use crate::work;

pub(in crate::command) const DUTY: Duty = Duty {
    name: "fetch git",
    tasks: &[(&contract::GIT_REPOSITORY, tasks::FETCH)],
    reasons: &[
        Reason::GitRefNotFound,
        Reason::GitUnauthorized,
        Reason::SourceRepositoryUnavailable,
    ],
    results: &[results::COMMIT],
};

/// Where the commit is kept in the repository that it is fetched to.
const HERE: &str = "refs/cnbi/source";

/// Arguments of `fetch git`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    task: TaskArgs,
    /// Folder of the Secret with the credential for the Git host: `password` or `token`, perhaps `username`; or `ssh-privatekey` and
    /// `known_hosts`. Left out, or empty, where there is none
    #[arg(long, value_name = "FOLDER", value_parser = work::optional_folder)]
    git_credentials: Option<PathBuf>,
    /// Most MiB that the repository may take
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    most: u64,
    /// Most seconds that it may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
}

/// Runs it.
pub(in crate::command) fn run(args: &Args) -> Result<Report, Failure> {
    let asked = args.request.read()?;
    let wanted = Wanted::of(&asked)?;
    let Begun { home, outside, .. } = args.task.begin()?;
    let access = wanted.access(args.git_credentials.as_deref(), home.path())?;
    let source = args.task.work.source();
    work::renew(&source)?;
    let git = Git::local(&source, home.path()).reaching(wanted.url.scheme(), &outside, access.as_ref());
    let fetch = Fetch {
        git: &git,
        source: &source,
        wanted: &wanted,
        most: args.most << 20,
        time: Duration::from_secs(args.timeout),
    };
    let commit = fetch.run()?;
    fs::remove_dir_all(source.join(".git"))
        .map_err(|error| Failure::unforeseen(format!("removing Git's own folder: {error}")))?;
    Ok(Report::new().with(results::COMMIT, commit))
}

struct Fetch<'a> {
    git: &'a Git,
    source: &'a Path,
    wanted: &'a Wanted,
    most: u64,
    time: Duration,
}

impl Fetch<'_> {
    fn run(&self) -> Result<String, Failure> {
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
                &self.wanted.text,
                &refspec,
            ],
            true,
        )?;
        let commit = format!("{HERE}^{{commit}}");
        let commit = self
            .git
            .run(&["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])
            .map_err(|_| self.no_ref("is no commit"))?;
        if !is_object_id(&commit) {
            return Err(Failure::unforeseen("git rev-parse gave no object id"));
        }
        self.local(&["checkout", "--quiet", "--detach", &commit])?;
        Ok(commit)
    }

    /// What to ask the remote for: the name of a ref that it has, or an object id; and whether its ids are SHA-256.
    fn find(&self) -> Result<(String, bool), Failure> {
        let names = self.wanted.names();
        let mut args = vec!["ls-remote", "--quiet", "--", &self.wanted.text];
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
        match self.wanted.object() {
            Some(id) => Ok((id.to_ascii_lowercase(), id.len() == 64)),
            None => Err(self.no_ref("is neither a branch nor a tag of the repository, nor a whole commit id")),
        }
    }

    fn no_ref(&self, what: &str) -> Failure {
        let what = match self.wanted.git_ref {
            Some(_) => what,
            None => "is not there: the repository is empty, or has no default branch",
        };
        Failure::new(Reason::GitRefNotFound, format!("{} {what}", self.wanted.shown_ref()))
    }

    fn local(&self, args: &[&str]) -> Result<String, Failure> {
        self.git
            .run_long(args, b"", self.time, &mut || self.watch())
            .map_err(|error| match error {
                GitError::Child(ChildError::Stopped(why)) => Failure::unforeseen(why),
                error => Failure::unforeseen(error.to_string()),
            })
    }

    fn remote(&self, args: &[&str], is_fetch: bool) -> Result<String, Failure> {
        let host = self.wanted.host();
        let error = match self.git.run_long(args, b"", self.time, &mut || self.watch()) {
            Ok(said) => return Ok(said),
            Err(error) => error,
        };
        let (reason, message) = match &error {
            GitError::Child(ChildError::Stopped(why)) => return Err(Failure::unforeseen(why)),
            GitError::Child(ChildError::TimedOut { .. }) => (
                Reason::SourceRepositoryUnavailable,
                format!("{host} is too slow: {error}"),
            ),
            GitError::Child(_) => return Err(Failure::unforeseen(error.to_string())),
            GitError::Failed { stderr, .. } => match refusal(stderr) {
                Refusal::NoRef => return Err(self.no_ref("is not in the repository")),
                // Git does not say so where the protocol's older version is spoken; the ref itself was found before.
                Refusal::Unavailable if is_fetch && stderr.contains("no such remote ref") => {
                    return Err(self.no_ref("is not in the repository"));
                }
                Refusal::Unauthorized => (
                    Reason::GitUnauthorized,
                    format!("{host} does not let us read the repository: {error}"),
                ),
                Refusal::NoRepository => (
                    Reason::GitUnauthorized,
                    format!("{host} has no such repository, or does not show it to us"),
                ),
                Refusal::Moved => (
                    Reason::GitUnauthorized,
                    "the repository has another URL now; write that one into spec.repositoryUrl".to_owned(),
                ),
                Refusal::Unavailable => (
                    Reason::SourceRepositoryUnavailable,
                    format!("{host} could not be reached: {error}"),
                ),
            },
        };
        Err(Failure::new(reason, message))
    }

    fn watch(&self) -> Result<(), String> {
        tree::within(self.source, self.most).map_err(|_| {
            format!(
                "the repository has more than {} MiB, which is all that a build may take",
                self.most >> 20
            )
        })
    }
}
