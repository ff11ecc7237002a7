//! The real kubectl, with a configuration and a home of the control plane's own.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// One call of kubectl.
#[derive(Debug)]
pub struct Kubectl {
    command: Command,
    stdin: Option<String>,
}

/// What a call of kubectl gave.
#[derive(Clone, Debug)]
pub struct KubectlOutput {
    /// Whether it ended with 0.
    pub success: bool,
    /// What it printed on stdout.
    pub stdout: String,
    /// What it printed on stderr, where refusals and warnings stand.
    pub stderr: String,
}

impl Kubectl {
    pub(crate) fn new(program: &Path, kubeconfig: &Path, home: &Path) -> Self {
        let mut command = Command::new(program);
        // With a home of its own it shares no discovery cache and no preferences with the user's.
        command
            .env_clear()
            .env("HOME", home)
            .env("KUBECONFIG", kubeconfig)
            .kill_on_drop(true);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        Self { command, stdin: None }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.command.args(args);
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Speaks as whoever `kubeconfig` says, instead of as administrator.
    #[must_use]
    pub fn with_kubeconfig(mut self, kubeconfig: &Path) -> Self {
        self.command.env("KUBECONFIG", kubeconfig);
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Has it find the files of its arguments from there.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Gives it something to read, for `-f -`.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<String>) -> Self {
        self.stdin = Some(text.into());
        self
    }

    /// The command as it stands, for a caller that wants its output elsewhere.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs it; that kubectl fails is an answer, not an error.
    pub async fn run(mut self) -> Result<KubectlOutput> {
        self.command.stdin(if self.stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        let mut child = self
            .command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting kubectl")?;
        let pipe = child.stdin.take();
        let text = self.stdin.unwrap_or_default();
        let feed = async move {
            if let Some(mut pipe) = pipe {
                // kubectl may refuse its arguments and go without reading; its answer then says more than a broken pipe.
                let _ = pipe.write_all(text.as_bytes()).await;
            }
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), feed);
        let output = output.context("waiting for kubectl")?;
        Ok(KubectlOutput {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs it and gives its stdout; that kubectl fails is an error with what it said.
    pub async fn ok(self) -> Result<String> {
        let shown = format!("{:?}", self.command.as_std().get_args().collect::<Vec<_>>());
        let answer = self.run().await?;
        ensure!(answer.success, "kubectl {shown}: {}", answer.stderr.trim());
        Ok(answer.stdout)
    }
}
