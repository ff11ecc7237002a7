//! The `git` program, with everything off that a repository, a host or this machine could use to make it do more.
//!
//! No configuration but ours, no hooks, no prompts, no redirects, no transports but those that are asked for. Nothing
//! here decides what to clone or to push.

pub mod credential;
mod refusal;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use refusal::{Refusal, refusal};

use crate::child::{self, ChildError, Limits, Log};
use crate::outside::Outside;

/// What Git is told before every command.
const QUIET: [&str; 15] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "credential.helper=",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    // A host that sends us elsewhere could send us to one that nobody has allowed, credentials and all.
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "gc.auto=0",
    "maintenance.auto=false",
];

/// Most bytes that are kept of what Git says.
const KEPT: usize = 1 << 20;

/// Why a Git command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// It could not be run to its end.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// It ended with an error.
    #[error("git {command}: {}", last(stderr))]
    Failed {
        /// The subcommand.
        command: String,
        /// What it said.
        stderr: String,
    },
}

/// The last line of what Git said that is no advice.
fn last(stderr: &str) -> &str {
    let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    lines()
        .rfind(|line| line.starts_with("fatal:") || line.starts_with("error:"))
        .or_else(|| lines().next_back())
        .unwrap_or("no reason given")
}

/// Git in a folder.
#[derive(Clone, Debug)]
pub struct Git {
    folder: PathBuf,
    home: PathBuf,
    outside: Outside,
    transports: &'static str,
    credential: Option<credential::Access>,
    variables: Vec<(&'static str, String)>,
}

impl Git {
    /// Git in `folder`, which can reach nothing outside. `home` is an empty folder of ours.
    pub fn local(folder: &Path, home: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            home: home.to_owned(),
            outside: Outside::default(),
            transports: "none",
            credential: None,
            variables: Vec::new(),
        }
    }

    /// Git that speaks one transport, such as `https`, with a credential where there is one.
    #[must_use]
    pub fn reaching(
        mut self,
        transport: &'static str,
        outside: &Outside,
        credential: Option<&credential::Access>,
    ) -> Self {
        self.transports = transport;
        self.outside = outside.clone();
        self.credential = credential.cloned();
        self
    }

    /// Git with further variables in its environment.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// Runs a command that is over at once, and gives what it prints without the line break at its end.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<String, GitError> {
        self.run_long(args, b"", Duration::from_secs(60), &mut child::unwatched)
    }

    /// The same with something to read.
    pub fn feed<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> Result<String, GitError> {
        self.run_long(args, input, Duration::from_secs(60), &mut child::unwatched)
    }

    /// Runs a command that may take long, and asks `watch` meanwhile whether to go on.
    pub fn run_long<S: AsRef<OsStr>>(
        &self,
        args: &[S],
        input: &[u8],
        time: Duration,
        watch: &mut dyn FnMut() -> Result<(), String>,
    ) -> Result<String, GitError> {
        let mut command = child::bare("git", &self.home);
        command
            .current_dir(&self.folder)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "false")
            .env("SSH_ASKPASS", "false")
            .env("GIT_ALLOW_PROTOCOL", self.transports)
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_CEILING_DIRECTORIES", self.folder.parent().unwrap_or(&self.folder));
        for setting in QUIET {
            command.args(["-c", setting]);
        }
        self.outside.tell(&mut command);
        if let Some(credential) = &self.credential {
            credential.tell(&mut command);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.args(args);
        let limits = Limits { time, kept: KEPT };
        let ended = child::run(&mut command, limits, input, Log::Errors, watch)?;
        if ended.status.success() {
            return Ok(String::from_utf8_lossy(&ended.stdout).trim_end_matches('\n').to_owned());
        }
        Err(GitError::Failed {
            command: args
                .first()
                .map(|arg| arg.as_ref().to_string_lossy().into_owned())
                .unwrap_or_default(),
            stderr: ended.stderr,
        })
    }
}
