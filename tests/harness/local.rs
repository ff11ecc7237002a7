//! The cluster that stays, with CNBi installed on it: one per clone, up until it is taken down.
//!
//! A process of its own holds it, detached from the terminal, and with it a lock on a file. Who has the lock is up, so
//! the process id in that file is never a stranger's.

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

/// The namespace of ImageStreams in the shipped configuration. ODH would have made it.
const TARGET: &str = "opendatahub";

/// How long all may take to come up, without the build of the control plane's programs.
const UP_WITHIN: Duration = Duration::from_secs(180);

/// How long all may take to end.
const DOWN_WITHIN: Duration = Duration::from_secs(60);

/// Where a control plane that stays has its files.
#[derive(Clone, Debug)]
pub struct Local {
    folder: PathBuf,
}

/// Whether someone holds it.
enum State {
    Down(File),
    Up,
}

impl Local {
    /// The one that keeps its data in `folder`, or in `target/local` of this clone.
    pub fn new(folder: Option<PathBuf>) -> Self {
        let folder = folder.unwrap_or_else(|| {
            let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
            tests.parent().unwrap_or(tests).join("target/local")
        });
        Self { folder }
    }

    /// The administrator's kubeconfig, once it is up.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Whether it is up and can be used.
    pub fn is_up(&self) -> Result<bool> {
        Ok(self.ready().exists() && matches!(self.state()?, State::Up))
    }

    /// The process ids of what runs, while it is up.
    pub fn pids(&self) -> Result<Vec<u32>> {
        let text = fs::read_to_string(self.ready()).context("reading the process ids")?;
        text.split(' ')
            .map(|pid| pid.parse().context("reading the process ids"))
            .collect()
    }

    /// Brings it up, if it is not, and waits until it can be used.
    pub async fn up(&self) -> Result<()> {
        // Built here rather than in the background, so that whoever waits sees why.
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
                .context("starting the process that stays")?;
            holder = Some(child);
        }
        let begin = Instant::now();
        while !self.is_up()? {
            if let Some(child) = &mut holder
                && let Some(status) = child.try_wait().context("waiting for the process that stays")?
            {
                bail!("it does not come up, {status}:\n{}", tail(&self.log()));
            }
            ensure!(
                begin.elapsed() < UP_WITHIN,
                "it is not up within {UP_WITHIN:?}:\n{}",
                tail(&self.log())
            );
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Takes it down with all its data, and says whether it was up.
    pub async fn down(&self) -> Result<bool> {
        let (lock, was_up) = match self.state()? {
            State::Down(lock) => (lock, false),
            State::Up => (self.stop().await?, true),
        };
        // A holder that was killed could not tidy up.
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
            // The file is empty for the moment between the lock and the writing of the id.
            let text = fs::read_to_string(self.lock()).context("reading the process id")?;
            if !asked && let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) {
                kill_process(pid, Signal::TERM).context("asking the process that stays to end")?;
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

    /// Is the process that stays: runs everything until SIGTERM or SIGINT.
    pub async fn hold(&self) -> Result<()> {
        let State::Down(mut lock) = self.state()? else {
            bail!("{} is up already", self.folder.display());
        };
        lock.set_len(0)?;
        lock.rewind()?;
        write!(lock, "{}", std::process::id())?;
        // Already so when a shell started it in a group of its own.
        let _ = setsid();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        self.remove()?;
        let run = async {
            let control_plane = ControlPlane::start_in(&self.folder).await?;
            let installation = Installation::install(&control_plane, shipped::default(None)).await?;
            installation.create_namespace(TARGET).await?;
            crate::tekton::install(&control_plane).await?;
            shipped::install_builds(&control_plane, &[TARGET]).await?;
            let replicas = installation.start_all(UP_WITHIN).await?;
            let mut pids = control_plane.pids().await;
            pids.extend(replicas.iter().map(|replica| replica.pid()));
            let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
            // Complete or absent: whoever sees the file reads all of it.
            let unfinished = self.folder.join("ready.unfinished");
            fs::write(&unfinished, pids.join(" "))
                .and_then(|()| fs::rename(&unfinished, self.ready()))
                .context("saying that it is up")?;
            std::future::pending::<()>().await;
            drop(replicas);
            Ok(())
        };
        let outcome = tokio::select! {
            outcome = run => outcome,
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        };
        // What ran has been dropped, and with that has ended.
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
