//! Ends a program when the process that started it ends.
//!
//! A test can be killed at any time and must leave no process behind. So a small supervisor process starts the program and reads
//! from a pipe; when the pipe closes, it kills the program and its children. `process.rs` has the other end of the pipe.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group, setsid};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::signal::unix::{SignalKind, signal};

use crate::rights::Note;

/// Timeout for a program to end after the supervisor got SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// One program to run until it ends, stdin closes, or SIGTERM arrives.
///
/// Each line on stdin is a signal to send: `term`, `kill`, `stop`, `continue`. The first line on stdout is the process ID of the
/// program; its output goes to stderr of this process.
#[derive(Debug, clap::Args)]
pub struct Supervise {
    /// A file to hold a shared lock on for as long as the program lives
    #[arg(long)]
    hold: Option<PathBuf>,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    command: Vec<std::ffi::OsString>,
}

impl Supervise {
    /// Runs the program and returns its exit code, or 128 plus the number of the signal that ended it.
    pub async fn run(self) -> Result<ExitCode> {
        // Ctrl-C goes to the whole session; only the parent decides whether to stop the program.
        setsid().context("leaving the terminal's session")?;
        let held = self
            .hold
            .as_ref()
            .map(File::create)
            .transpose()
            .context("opening the lock file")?;
        if let Some(file) = &held {
            file.lock_shared().context("locking the file")?;
        }
        let mut terminate = signal(SignalKind::terminate())?;
        let log = std::io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .context("sharing stderr")?;
        let (program, arguments) = self.command.split_first().context("no program was given")?;
        let mut command = std::process::Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        let mut child = tokio::process::Command::from(command)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let pid = child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
            .context("the program has no process id")?;
        println!("{}", pid.as_raw_nonzero());

        let mut orders = BufReader::new(tokio::io::stdin()).lines();
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                _ = terminate.recv() => {
                    let _ = kill_process(pid, Signal::TERM);
                    if let Ok(status) = tokio::time::timeout(GRACE, child.wait()).await {
                        break status;
                    }
                    let _ = kill_process_group(pid, Signal::KILL);
                    break child.wait().await;
                }
                order = orders.next_line() => {
                    let Ok(Some(order)) = order else {
                        let _ = kill_process_group(pid, Signal::KILL);
                        break child.wait().await;
                    };
                    // The ID cannot have been reused, because the program has not been waited for.
                    if let Some(signal) = named(&order) {
                        let _ = kill_process(pid, signal);
                    }
                }
            }
        };
        // Children of the program are still in its process group.
        let _ = kill_process_group(pid, Signal::KILL);
        drop(held);
        Ok(code(status.context("waiting for the program")?))
    }
}

fn named(order: &str) -> Option<Signal> {
    match order {
        "term" => Some(Signal::TERM),
        "kill" => Some(Signal::KILL),
        "stop" => Some(Signal::STOP),
        "continue" => Some(Signal::CONT),
        _ => None,
    }
}

fn code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

/// Removes a folder when it is no longer used.
///
/// Waits until stdin closes and no supervisor holds the lock of the folder.
#[derive(Debug, clap::Args)]
pub struct Sweep {
    /// The folder to remove
    folder: PathBuf,
    /// The file that the folder's supervisors hold
    #[arg(long)]
    lock: PathBuf,
}

impl Sweep {
    /// Blocks until the folder has been removed.
    pub fn run(self) -> Result<()> {
        setsid().context("leaving the terminal's session")?;
        let note = Note::begin()?;
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).context("waiting for stdin to close")?;
        let lock = File::create(&self.lock).context("opening the lock")?;
        lock.lock().context("waiting for the programs to end")?;
        if let Some(note) = note {
            note.finish(&self.folder.join("audit.log"))?;
        }
        std::fs::remove_dir_all(&self.folder).with_context(|| format!("removing {}", self.folder.display()))
    }
}
