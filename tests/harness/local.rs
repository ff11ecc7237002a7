//! The control plane of `cnbi-local up`: one per clone, with CNBi installed.
//!
//! A detached process runs it and holds a lock on a file that contains its process ID, so the ID is valid while the file is locked.

use std::fs::{self, File, TryLockError};
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, setsid};
use tokio::signal::unix::{SignalKind, signal};

use crate::assets::Assets;
use crate::control_plane::ControlPlane;
use crate::installation::{Installation, shipped};
use crate::process::{POLL, tail};

/// The target namespace of the shipped configuration; with Open Data Hub it exists already.
const TARGET: &str = "opendatahub";

/// Timeout for the start, without building the programs of the control plane.
const UP_WITHIN: Duration = Duration::from_secs(180);

/// Timeout for the end.
const DOWN_WITHIN: Duration = Duration::from_secs(60);

/// A control plane that runs in the background.
#[derive(Clone, Debug)]
pub struct Local {
    folder: PathBuf,
}

/// Whether its process runs.
enum State {
    Down(File),
    Up,
}

impl Local {
    /// With data in `folder`, by default `target/local` of this clone.
    pub fn new(folder: Option<PathBuf>) -> Self {
        let folder = folder.unwrap_or_else(|| {
            let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
            tests.parent().unwrap_or(tests).join("target/local")
        });
        Self { folder }
    }

    /// The admin's kubeconfig; exists while it runs.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Whether it runs and is ready.
    pub fn is_up(&self) -> Result<bool> {
        Ok(self.ready().exists() && matches!(self.state()?, State::Up))
    }

    /// The process IDs of its programs.
    ///
    /// # Errors
    /// It does not run.
    pub fn pids(&self) -> Result<Vec<u32>> {
        let text = fs::read_to_string(self.ready()).context("reading the process ids")?;
        text.split(' ')
            .map(|pid| pid.parse().context("reading the process ids"))
            .collect()
    }

    /// Starts it unless it runs, and waits until it is ready.
    pub async fn up(&self) -> Result<()> {
        // Built here rather than in the background, so that the user sees the progress.
        tokio::task::spawn_blocking(Assets::locate)
            .await
            .context("finding the programs")??;
        let mut holder = None;
        if let State::Down(lock) = self.state()? {
            drop(lock);
            let log = File::create(self.log()).with_context(|| format!("creating {}", self.log().display()))?;
            let child = Command::new(crate::process::binary("cnbi-local")?)
                .arg("hold")
                .arg(&self.folder)
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()
                .context("starting the background process")?;
            holder = Some(child);
        }
        let begin = Instant::now();
        while !self.is_up()? {
            if let Some(child) = &mut holder
                && let Some(status) = child.try_wait().context("waiting for the background process")?
            {
                bail!("the background process ended, {status}:\n{}", tail(&self.log()));
            }
            ensure!(
                begin.elapsed() < UP_WITHIN,
                "it is not ready within {UP_WITHIN:?}:\n{}",
                tail(&self.log())
            );
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Stops it and deletes its data. Returns whether it ran.
    pub async fn down(&self) -> Result<bool> {
        let (lock, was_up) = match self.state()? {
            State::Down(lock) => (lock, false),
            State::Up => (self.stop().await?, true),
        };
        // A process that was killed leaves its data behind.
        self.remove()?;
        drop(lock);
        Ok(was_up)
    }

    async fn stop(&self) -> Result<File> {
        let begin = Instant::now();
        let mut asked = false;
        loop {
            if let State::Down(lock) = self.state()? {
                return Ok(lock);
            }
            // The file is empty between locking it and writing the ID.
            let text = fs::read_to_string(self.lock()).context("reading the process id")?;
            if !asked && let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) {
                kill_process(pid, Signal::TERM).context("sending SIGTERM to the background process")?;
                asked = true;
            }
            ensure!(
                begin.elapsed() < DOWN_WITHIN,
                "process {} has not ended within {DOWN_WITHIN:?}",
                text.trim()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// The background process: runs everything until SIGTERM or SIGINT.
    pub async fn hold(&self) -> Result<()> {
        let State::Down(mut lock) = self.state()? else {
            bail!("{} is in use: it runs already", self.folder.display());
        };
        lock.set_len(0)?;
        lock.rewind()?;
        write!(lock, "{}", std::process::id())?;
        // Fails if a shell made it the leader of a process group already.
        let _ = setsid();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        self.remove()?;
        let run = async {
            let control_plane = ControlPlane::start_in(&self.folder).await?;
            let installation = Installation::install(&control_plane, shipped::default(None)).await?;
            installation.create_namespace(TARGET).await?;
            crate::fake_tekton::install(&control_plane).await?;
            shipped::install_builds(&control_plane, &[TARGET]).await?;
            let replicas = installation.start_all(UP_WITHIN).await?;
            let mut pids = control_plane.pids().await;
            pids.extend(replicas.iter().map(|replica| replica.pid()));
            let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
            // Renamed, so that a reader never sees half of the file.
            let unfinished = self.folder.join("ready.unfinished");
            fs::write(&unfinished, pids.join(" "))
                .and_then(|()| fs::rename(&unfinished, self.ready()))
                .context("writing the process IDs")?;
            std::future::pending::<()>().await;
            drop(replicas);
            Ok(())
        };
        let outcome = tokio::select! {
            outcome = run => outcome,
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        };
        // Dropping the programs has ended them.
        self.remove()?;
        lock.set_len(0)?;
        outcome
    }

    fn state(&self) -> Result<State> {
        let path = self.lock();
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        }
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(State::Down(file)),
            Err(TryLockError::WouldBlock) => Ok(State::Up),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
        }
    }

    fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", self.folder.display()))
            }
            _ => Ok(()),
        }
    }

    fn lock(&self) -> PathBuf {
        self.folder.with_extension("lock")
    }

    fn log(&self) -> PathBuf {
        self.folder.with_extension("log")
    }

    fn ready(&self) -> PathBuf {
        self.folder.join("ready")
    }
}
