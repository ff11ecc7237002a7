//! etcd, kube-apiserver and kube-controller-manager as processes on loopback. One value is one cluster.
//!
//! It starts in seconds, and its data is deleted on drop or when the process dies. Several can run at once. CNBi's own programs
//! are started by `installation`.

mod established;
mod kubeconfig;
mod launch;
mod pki;
pub mod ports;
mod programs;
mod tokens;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use tokio::sync::{Mutex, OnceCell};

use crate::assets::Assets;
use crate::kubectl::Kubectl;
use crate::process::{POLL, Process, Program, binary, tail};

use launch::held;
use pki::Pki;

/// Timeout for each program to become ready.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Timeout for the API server to finish its requests after SIGTERM.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);

/// A running cluster without nodes.
#[derive(Debug)]
pub struct ControlPlane {
    // Drop order: clients before servers, data last.
    controller_manager: Option<Process>,
    api_server: Mutex<Option<Process>>,
    api_server_program: Program,
    etcd: Process,
    sweeper: Option<Sweeper>,
    assets: Assets,
    data: PathBuf,
    server: String,
    pki: Pki,
}

/// The process that deletes the data when this process ends for any reason.
#[derive(Debug)]
struct Sweeper {
    _process: Child,
    _orders: Option<ChildStdin>,
}

impl ControlPlane {
    /// The control plane shared by all tests of this process.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<std::result::Result<ControlPlane, String>> = OnceCell::const_new();
        // A failure is cached too, so that the other tests fail at once.
        let started = SHARED
            .get_or_init(|| async { Self::start().await.map_err(|error| format!("{error:#}")) })
            .await;
        started
            .as_ref()
            .map_err(|error| anyhow!("the shared control plane does not start: {error}"))
    }

    /// Starts one whose data is deleted on drop. `CNBI_KEEP=1` keeps the data and prints its path.
    pub async fn start() -> Result<Self> {
        let data = tempfile::Builder::new()
            .prefix("cnbi-")
            .tempdir()
            .context("creating a folder for the data")?
            .keep();
        let sweeper = if std::env::var_os("CNBI_KEEP").is_some_and(|value| value == "1") {
            eprintln!("control plane: keeping its data in {}", data.display());
            None
        } else {
            Some(Sweeper::start(&data)?)
        };
        Self::start_with(data, sweeper).await
    }

    /// Starts one with its data in `folder`, which must be empty and is kept.
    pub async fn start_in(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        Self::start_with(folder.canonicalize().context("finding the folder")?, None).await
    }

    async fn start_with(data: PathBuf, sweeper: Option<Sweeper>) -> Result<Self> {
        let assets = tokio::task::spawn_blocking(Assets::locate)
            .await
            .context("finding the programs")??;
        let pki = Pki::generate(&data.join("pki"))?;
        fs::create_dir_all(data.join("home"))?;
        fs::write(data.join("audit-policy.yaml"), programs::AUDIT_POLICY)?;
        let running = launch::launch(&assets, &data, &pki).await?;
        Ok(running.swept_by(sweeper))
    }

    fn swept_by(mut self, sweeper: Option<Sweeper>) -> Self {
        self.sweeper = sweeper;
        self
    }

    /// The admin's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data.join("kubeconfig")
    }

    /// The folder with logs, keys and the database.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The API server's audit log: one JSON object per line, level Metadata.
    pub fn audit_log(&self) -> PathBuf {
        self.data.join("audit.log")
    }

    /// Its programs.
    pub fn assets(&self) -> &Assets {
        &self.assets
    }

    /// The URL of the API server, such as `https://127.0.0.1:16443`.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// A kubectl command as admin.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.assets.kubectl(), &self.kubeconfig(), &self.data.join("home"))
    }

    /// A new client as admin; it belongs to the current Tokio runtime.
    pub async fn client(&self) -> Result<kube::Client> {
        client(&self.kubeconfig()).await
    }

    /// A program to start with the control plane; the data is kept until the program has ended.
    pub fn program(&self, name: &str, path: PathBuf) -> Program {
        held(
            &self.data,
            Program::new(name, path, self.data.join(format!("{name}.log"))),
        )
    }

    /// The process IDs of its running programs.
    pub async fn pids(&self) -> Vec<u32> {
        let mut pids = vec![self.etcd.pid()];
        pids.extend(self.controller_manager.as_ref().map(Process::pid));
        pids.extend(self.api_server.lock().await.as_ref().map(Process::pid));
        pids
    }

    /// Stops the API server gracefully, as draining a node does, and waits until it has ended.
    ///
    /// Only for a control plane that no other test uses.
    pub async fn stop_api_server(&self) -> Result<()> {
        let process = self
            .api_server
            .lock()
            .await
            .take()
            .context("the API server has already been stopped")?;
        process.terminate(STOPPED_WITHIN).await.map(drop)
    }

    /// Restarts the API server with the same port and data, and waits until it is ready.
    pub async fn start_api_server(&self) -> Result<()> {
        let mut slot = self.api_server.lock().await;
        ensure!(slot.is_none(), "the API server is already running");
        *slot = Some(self.api_server_program.start()?);
        drop(slot);
        self.wait_until_ready().await
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let client = self.client().await?;
        let begin = Instant::now();
        loop {
            if let Some(api_server) = self.api_server.lock().await.as_mut()
                && let Err(error) = api_server.ensure_running()
            {
                // The API server ends without etcd; the cause is in etcd's log.
                return Err(error.context(format!("end of etcd's log:\n{}", tail(self.etcd.log()))));
            }
            let request = http::Request::get("/readyz?verbose").body(Vec::new())?;
            let Err(error) = client.request_text(request).await else {
                return Ok(());
            };
            let log = &self.api_server_program.log;
            ensure!(
                begin.elapsed() < READY_WITHIN,
                "the API server is not ready within {READY_WITHIN:?}: {error}; end of its log:\n{}",
                tail(log)
            );
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Sweeper {
    fn start(data: &Path) -> Result<Self> {
        let mut process = Command::new(binary("cnbi-local")?)
            .arg("sweep")
            .arg(data)
            .arg("--lock")
            .arg(lock(data))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting the process that removes the data")?;
        let orders = process.stdin.take();
        Ok(Self {
            _process: process,
            _orders: orders,
        })
    }
}

/// The file that every supervisor of this control plane locks.
fn lock(data: &Path) -> PathBuf {
    data.join("lock")
}

/// A new client with the credentials of a kubeconfig.
pub async fn client(kubeconfig: &Path) -> Result<kube::Client> {
    let config =
        kube::config::Kubeconfig::read_from(kubeconfig).with_context(|| format!("reading {}", kubeconfig.display()))?;
    let mut config = kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default())
        .await
        .with_context(|| format!("reading {}", kubeconfig.display()))?;
    // Never use a proxy for loopback.
    config.proxy_url = None;
    connect(config)
}

pub(crate) fn connect(mut config: kube::Config) -> Result<kube::Client> {
    // Tests expect 503 from webhooks and probes; retries would hide it.
    config.default_retry = false;
    // An error means that a provider is installed already; only ring is compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    kube::Client::try_from(config).context("creating a client")
}
