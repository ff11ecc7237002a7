//! Runs `git` without configuration, hooks, prompts, redirects and unrequested transports, because repositories and hosts are untrusted.

pub mod credential;
mod remote_error;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use remote_error::{RemoteError, remote_error};

use crate::egress::Egress;
use crate::program::{self, Limits, Log, ProgramError};

/// Settings of every command.
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
    // A redirect could send credentials to a host that is not allowed.
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "gc.auto=0",
    "maintenance.auto=false",
];

/// Maximum output of Git that is returned, in bytes.
const OUTPUT_LIMIT: usize = 1 << 20;

/// Why a Git command failed.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// It did not run to its end.
    #[error(transparent)]
    Child(#[from] ProgramError),
    /// It exited with an error.
    #[error("git {command}: {}", last(stderr))]
    Failed {
        /// Subcommand.
        command: String,
        /// Standard error.
        stderr: String,
    },
}

/// The last line with an error, or the last line.
fn last(stderr: &str) -> &str {
    let lines = || stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    lines()
        .rfind(|line| line.starts_with("fatal:") || line.starts_with("error:"))
        .or_else(|| lines().next_back())
        .unwrap_or("no error message")
}

/// Git in a folder.
#[derive(Clone, Debug)]
pub struct Git {
    folder: PathBuf,
    home: PathBuf,
    egress: Egress,
    transports: &'static str,
    credential: Option<credential::Access>,
    variables: Vec<(&'static str, String)>,
}

impl Git {
    /// Git in `folder` without network access. `home` is an empty folder.
    pub fn local(folder: &Path, home: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            home: home.to_owned(),
            egress: Egress::default(),
            transports: "none",
            credential: None,
            variables: Vec::new(),
        }
    }

    /// Allows one transport, such as `https`, with a credential if there is one.
    #[must_use]
    pub fn with_remote(
        mut self,
        transport: &'static str,
        egress: &Egress,
        credential: Option<&credential::Access>,
    ) -> Self {
        self.transports = transport;
        self.egress = egress.clone();
        self.credential = credential.cloned();
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// Runs a short command and returns its output without the final line break.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<String, GitError> {
        self.run_long(args, b"", Duration::from_secs(60), &mut program::never_stop)
    }

    /// Like [`Git::run`], with standard input.
    pub fn feed<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> Result<String, GitError> {
        self.run_long(args, input, Duration::from_secs(60), &mut program::never_stop)
    }

    /// Runs a command that may take long; `watch` can stop it.
    pub fn run_long<S: AsRef<OsStr>>(
        &self,
        args: &[S],
        input: &[u8],
        time: Duration,
        watch: &mut dyn FnMut() -> Result<(), String>,
    ) -> Result<String, GitError> {
        let mut command = program::clean_command("git", &self.home);
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
        self.egress.configure(&mut command);
        if let Some(credential) = &self.credential {
            credential.configure(&mut command);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.args(args);
        let limits = Limits {
            time,
            output: OUTPUT_LIMIT,
        };
        let ended = program::run(&mut command, limits, input, Log::Stderr, watch)?;
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
