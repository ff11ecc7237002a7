//! The real kubectl, with its own kubeconfig and home folder per control plane.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// A kubectl command.
#[derive(Debug)]
pub struct Kubectl {
    command: Command,
    stdin: Option<String>,
}

/// The result of a kubectl command.
#[derive(Clone, Debug)]
pub struct KubectlOutput {
    /// Whether the exit code is 0.
    pub success: bool,
    /// Output on stdout.
    pub stdout: String,
    /// Output on stderr, such as errors and warnings.
    pub stderr: String,
}

impl Kubectl {
    pub(crate) fn new(program: &Path, kubeconfig: &Path, home: &Path) -> Self {
        let mut command = Command::new(program);
        // Its own home, so that it shares no discovery cache and no preferences with the user's kubectl.
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

    /// Uses the credentials of `kubeconfig` instead of the admin's.
    #[must_use]
    pub fn with_kubeconfig(mut self, kubeconfig: &Path) -> Self {
        self.command.env("KUBECONFIG", kubeconfig);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Sets stdin, for `-f -`.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<String>) -> Self {
        self.stdin = Some(text.into());
        self
    }

    /// The command, for a caller that redirects its output.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Runs it. A failure of kubectl is a result, not an error.
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
                // kubectl may exit without reading stdin; its own error is more useful than a broken pipe.
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

    /// Runs it and returns stdout. A failure of kubectl is an error that contains stderr.
    pub async fn ok(self) -> Result<String> {
        let shown = format!("{:?}", self.command.as_std().get_args().collect::<Vec<_>>());
        let answer = self.run().await?;
        ensure!(answer.success, "kubectl {shown}: {}", answer.stderr.trim());
        Ok(answer.stdout)
    }
}
