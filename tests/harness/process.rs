//! A supervised program, and signals to simulate faults.
//!
//! The program gets exactly the given environment, writes its output to a file, and never outlives this process.

mod binary;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

pub use binary::binary;

/// How much of a log an error shows, in bytes.
const TAIL: u64 = 4096;

/// Timeout of one probe request.
const PATIENCE: Duration = Duration::from_secs(1);

/// Timeout for a killed process to end on a busy machine.
const KILLED_WITHIN: Duration = Duration::from_secs(60);

/// Interval of polling.
pub const POLL: Duration = Duration::from_millis(20);

/// A program to start.
#[derive(Clone, Debug)]
pub struct Program {
    /// Name for errors.
    pub name: String,
    /// Path of the executable.
    pub path: PathBuf,
    pub args: Vec<OsString>,
    /// The complete environment; nothing is inherited.
    pub env: BTreeMap<String, OsString>,
    /// Working directory; the default is that of this process.
    pub folder: Option<PathBuf>,
    /// Log file for the output; an existing file is appended to.
    pub log: PathBuf,
    /// File on which its supervisor holds a shared lock while it runs.
    pub hold: Option<PathBuf>,
}

/// A signal to a running program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGTERM: graceful shutdown.
    Terminate,
    /// SIGKILL: ends it at once.
    Kill,
    /// SIGSTOP: it keeps its connections and does not respond.
    Stop,
    /// SIGCONT: continues after SIGSTOP.
    Continue,
}

/// A running program; killed on drop, and when this process ends for any reason.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    pid: u32,
    supervisor: Child,
    orders: Option<ChildStdin>,
}

impl Program {
    /// A program with no arguments and an empty environment.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>, log: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            folder: None,
            log: log.into(),
            hold: None,
        }
    }

    /// Starts it and does not wait until it is ready.
    pub fn start(&self) -> Result<Process> {
        self.spawn().with_context(|| format!("starting {}", self.name))
    }

    fn spawn(&self) -> Result<Process> {
        ensure!(self.path.is_file(), "{} does not exist", self.path.display());
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("opening its log {}", self.log.display()))?;
        let mut command = Command::new(binary("cnbi-local")?);
        command.arg("supervise");
        if let Some(hold) = &self.hold {
            command.arg("--hold").arg(hold);
        }
        command
            .arg("--")
            .arg(&self.path)
            .args(&self.args)
            .env_clear()
            .envs(&self.env);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut supervisor = command.spawn().context("starting its supervisor")?;
        let orders = supervisor.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = supervisor.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .context("reading its process id")?;
        }
        let Ok(pid) = line.trim().parse() else {
            drop(orders);
            let status = supervisor.wait().context("waiting for its supervisor")?;
            bail!("its supervisor ended, {status}\n{}", tail(&self.log));
        };
        Ok(Process {
            name: self.name.clone(),
            log: self.log.clone(),
            pid,
            supervisor,
            orders,
        })
    }
}

impl Process {
    /// Process ID of the program.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Resident memory in KiB.
    ///
    /// # Errors
    /// The program has ended.
    pub fn resident(&self) -> Result<usize> {
        resident(self.pid)
    }

    /// Its name in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its exit code, or `None` while it runs. As in a shell, the code after a signal is 128 plus the signal's number.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.supervisor
            .try_wait()
            .with_context(|| format!("waiting for {}", self.name))
    }

    /// Fails with the end of its log if it does not run.
    pub fn ensure_running(&mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} ended, {status}; end of its log:\n{}", self.name, tail(&self.log));
        }
        Ok(())
    }

    /// Sends a signal through the supervisor, so that it cannot reach another process that has reused the ID.
    pub fn send(&mut self, fault: Fault) -> Result<()> {
        let order = match fault {
            Fault::Terminate => "term\n",
            Fault::Kill => "kill\n",
            Fault::Stop => "stop\n",
            Fault::Continue => "continue\n",
        };
        let orders = self.orders.as_mut().context("the pipe to its supervisor is closed")?;
        orders
            .write_all(order.as_bytes())
            .with_context(|| format!("sending {fault:?} to {}", self.name))
    }

    /// Waits until it has ended.
    pub async fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            let name = &self.name;
            ensure!(
                begin.elapsed() < within,
                "{name} has not ended within {within:?}; end of its log:\n{}",
                tail(&self.log)
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Sends SIGTERM and waits until it has ended.
    pub async fn terminate(mut self, within: Duration) -> Result<ExitStatus> {
        self.send(Fault::Terminate)?;
        self.wait(within).await
    }

    /// Sends SIGKILL and waits, like a crash.
    pub async fn kill(mut self) -> Result<()> {
        self.send(Fault::Kill)?;
        self.wait(KILLED_WITHIN).await.map(drop)
    }

    /// Waits until `url` returns 200. Like the kubelet's probes, it does not verify certificates.
    pub async fn wait_until_ok(&mut self, url: &str, within: Duration) -> Result<()> {
        let uri: http::Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
        // The client prepends the base URL to every path.
        let mut origin = uri.into_parts();
        let path = origin
            .path_and_query
            .replace(http::uri::PathAndQuery::from_static("/"))
            .map(|path| path.to_string());
        let path = path.unwrap_or_default();
        let mut config = kube::Config::new(http::Uri::from_parts(origin)?);
        config.accept_invalid_certs = true;
        config.proxy_url = None;
        config.read_timeout = Some(Duration::from_secs(5));
        let client = crate::control_plane::connect(config)?;
        let begin = Instant::now();
        loop {
            self.ensure_running()?;
            let request = http::Request::get(&path).body(kube::client::Body::empty())?;
            // The client retries 503 by itself for longer than the timeout here.
            let answer = match tokio::time::timeout(PATIENCE, client.send(request)).await {
                Ok(Ok(response)) if response.status() == http::StatusCode::OK => return Ok(()),
                Ok(Ok(response)) => response.status().to_string(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("none within {PATIENCE:?}"),
            };
            ensure!(
                begin.elapsed() < within,
                "{} does not return 200 for {url} within {within:?}, last: {answer}; end of its log:\n{}",
                self.name,
                tail(&self.log)
            );
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Closing the pipe makes the supervisor kill the program; waiting avoids a zombie.
        self.orders.take();
        let _ = self.supervisor.wait();
    }
}

/// Resident memory of a process in KiB.
///
/// # Errors
/// The process does not exist.
pub fn resident(pid: u32) -> Result<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let text = line.context("no VmRSS")?.trim().trim_end_matches(" kB");
    text.parse().with_context(|| format!("VmRSS: {text}"))
}

/// The end of a log, for an error message.
pub fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let from = file.metadata()?.len().saturating_sub(TAIL);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|error| format!("({} cannot be read: {error})", log.display()))
}
