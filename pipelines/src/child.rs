//! Runs other programs: no shell, an environment of our making, bounded output and time, and nothing left running.
//!
//! What a program prints is hostile. It goes to our log without control characters, and callers get no more of it than
//! they asked for.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How often a running program is looked at.
const TICK: Duration = Duration::from_millis(20);
/// How many ticks lie between two calls of a watch, which may be slow.
const TICKS_A_WATCH: u32 = 10;
/// How long output is waited for once the program has ended: something that it left behind may hold the pipe open.
const DRAIN: Duration = Duration::from_secs(2);
/// Where programs are looked for when the environment does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a program may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Wall clock time.
    pub time: Duration,
    /// Bytes that are kept: the first ones of standard output, the last ones of standard error.
    pub kept: usize,
}

/// What becomes of a program's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// Nothing is repeated.
    Nothing,
    /// Standard error is repeated on ours.
    Errors,
    /// Both outputs are one, as a terminal would show them; it is repeated, and the end of it is kept as standard error.
    Everything,
}

/// What came of a program that ended by itself.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// The beginning of its standard output.
    pub stdout: Vec<u8>,
    /// Whether that is all of it.
    pub is_whole: bool,
    /// The end of its standard error.
    pub stderr: String,
}

/// Why a program has no exit status of its own.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// Not there, or not to be run.
    #[error("{program} could not be started: {source}")]
    Start {
        /// Which.
        program: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// It took too long and was killed.
    #[error("{program} took longer than {} seconds", time.as_secs())]
    TimedOut {
        /// Which.
        program: String,
        /// What it had.
        time: Duration,
    },
    /// The watch had it killed, for the reason that it gave.
    #[error("{0}")]
    Stopped(String),
    /// Something about running it failed.
    #[error("running {program}: {source}")]
    Io {
        /// Which.
        program: String,
        /// What.
        source: io::Error,
    },
}

/// A command with nothing in its environment but a path, a home and a language.
pub fn bare(program: impl AsRef<std::ffi::OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH.into()))
        .env("HOME", home)
        .env("LANG", "C.UTF-8")
        .env("LC_ALL", "C.UTF-8");
    command
}

/// Runs a program to its end, in a process group of its own that is killed afterwards whatever came of it.
///
/// `input` is its standard input. `watch` is asked some times a second whether to go on.
pub fn run(
    command: &mut Command,
    limits: Limits,
    input: &[u8],
    log: Log,
    watch: &mut dyn FnMut() -> Result<(), String>,
) -> Result<Ended, ChildError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source: io::Error| ChildError::Io {
        program: program.clone(),
        source,
    };
    command
        .stdin(if input.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut both = None;
    if log == Log::Everything {
        let (reader, writer) = io::pipe().map_err(failed)?;
        command.stdout(writer.try_clone().map_err(failed)?).stderr(writer);
        both = Some(reader);
    }
    let mut child = command.spawn().map_err(|source| ChildError::Start {
        program: program.clone(),
        source,
    })?;
    // The command keeps its ends of the pipe, and the pipe would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let group = Group::of(&child);
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_vec();
        // A program that does not read all of it breaks the pipe, which is its right.
        thread::spawn(move || stdin.write_all(&input));
    }
    let stdout = child.stdout.take().map(|pipe| Kept::first(pipe, limits.kept));
    let stderr = match (both, child.stderr.take()) {
        (Some(pipe), _) => Some(Kept::last(pipe, limits.kept, true)),
        (None, pipe) => pipe.map(|pipe| Kept::last(pipe, limits.kept, log == Log::Errors)),
    };
    let started = Instant::now();
    let mut ticks: u32 = 0;
    let outcome = loop {
        match group.has_ended() {
            Ok(true) => break Ok(()),
            Ok(false) => {}
            Err(error) => break Err(failed(error)),
        }
        if started.elapsed() > limits.time {
            break Err(ChildError::TimedOut {
                program: program.clone(),
                time: limits.time,
            });
        }
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(TICKS_A_WATCH)
            && let Err(why) = watch()
        {
            break Err(ChildError::Stopped(why));
        }
        thread::sleep(TICK);
    };
    // The leader is not reaped yet, so the group's id is still its own.
    group.kill();
    let status = child.wait().map_err(failed)?;
    let (stdout, is_whole) = stdout.map(Kept::take).unwrap_or_default();
    let (stderr, _) = stderr.map(Kept::take).unwrap_or_default();
    outcome?;
    Ok(Ended {
        status,
        stdout,
        is_whole,
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}

/// A watch that never objects.
pub fn unwatched() -> Result<(), String> {
    Ok(())
}

/// A running program and what it started.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(i32::try_from(child.id()).ok().and_then(Pid::from_raw))
    }

    /// Whether the leader has ended. It is not reaped.
    fn has_ended(&self) -> io::Result<bool> {
        let Some(pid) = self.0 else { return Ok(true) };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(pid), options)?.is_some())
    }

    fn kill(&self) {
        if let Some(pid) = self.0 {
            // Nobody may be left in it.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// A pipe that is read to its end by a thread, and what is kept of it.
struct Kept {
    bytes: Arc<Mutex<(Vec<u8>, bool)>>,
    done: Receiver<()>,
}

impl Kept {
    fn first(pipe: impl Read + Send + 'static, limit: usize) -> Self {
        Self::read(pipe, move |(kept, is_whole), chunk| {
            let room = limit.saturating_sub(kept.len()).min(chunk.len());
            kept.extend_from_slice(&chunk[..room]);
            *is_whole &= room == chunk.len();
        })
    }

    fn last(pipe: impl Read + Send + 'static, limit: usize, is_logged: bool) -> Self {
        Self::read(pipe, move |(kept, is_whole), chunk| {
            if is_logged {
                repeat(chunk);
            }
            kept.extend_from_slice(chunk);
            let surplus = kept.len().saturating_sub(limit);
            kept.drain(..surplus);
            *is_whole &= surplus == 0;
        })
    }

    fn read(
        mut pipe: impl Read + Send + 'static,
        mut keep: impl FnMut(&mut (Vec<u8>, bool), &[u8]) + Send + 'static,
    ) -> Self {
        let bytes = Arc::new(Mutex::new((Vec::new(), true)));
        let shared = Arc::clone(&bytes);
        let (end, done) = channel();
        thread::spawn(move || {
            let mut chunk = [0; 8192];
            loop {
                match pipe.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(length) => keep(
                        &mut shared.lock().unwrap_or_else(PoisonError::into_inner),
                        &chunk[..length],
                    ),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
            // Whoever waited may have given up.
            let _ = end.send(());
        });
        Self { bytes, done }
    }

    fn take(self) -> (Vec<u8>, bool) {
        let is_closed = self.done.recv_timeout(DRAIN).is_ok();
        let mut kept = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut kept.0), kept.1 && is_closed)
    }
}

fn repeat(chunk: &[u8]) {
    let text: String = String::from_utf8_lossy(chunk)
        .chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    // A log that cannot be written is no reason to fail.
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        time: Duration::from_secs(20),
        kept: 1000,
    };

    fn sh(script: &str) -> Command {
        let mut command = bare("sh", Path::new("/"));
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_is_kept_as_far_as_asked() {
        let mut command = sh("head -c 100000 /dev/zero | tr '\\0' a; echo end >&2");
        let ended = run(&mut command, LIMITS, b"", Log::Nothing, &mut unwatched).unwrap();
        assert_eq!(
            (ended.stdout.len(), ended.is_whole, ended.stderr.as_str()),
            (1000, false, "end\n")
        );
    }

    #[test]
    fn both_outputs_can_be_one() {
        let mut command = sh("echo a; echo b >&2; echo c");
        let ended = run(&mut command, LIMITS, b"", Log::Everything, &mut unwatched).unwrap();
        assert_eq!((ended.stdout.len(), ended.stderr.as_str()), (0, "a\nb\nc\n"));
    }

    #[test]
    fn input_arrives_and_the_environment_does_not() {
        let ended = run(
            &mut sh("cat; env | sort"),
            LIMITS,
            b"in\n",
            Log::Nothing,
            &mut unwatched,
        )
        .unwrap();
        let text = String::from_utf8(ended.stdout).unwrap();
        assert!(text.starts_with("in\nHOME=/\nLANG=C.UTF-8\n"), "{text}");
        assert!(!text.contains("CARGO"), "{text}");
    }

    #[test]
    fn whatever_takes_too_long_is_killed_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let mut command = sh("sleep 600 & echo $! > \"$0\"; wait");
        command.arg(&pid);
        let limits = Limits {
            time: Duration::from_millis(500),
            ..LIMITS
        };
        let started = Instant::now();
        let error = run(&mut command, limits, b"", Log::Nothing, &mut unwatched).unwrap_err();
        assert!(matches!(error, ChildError::TimedOut { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10));
        let pid = std::fs::read_to_string(pid).unwrap();
        let is_gone = || match std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        while !is_gone() {
            assert!(started.elapsed() < Duration::from_secs(20), "it outlived its group");
            thread::sleep(TICK);
        }
    }

    #[test]
    fn an_output_held_open_by_somebody_else_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut command =
            sh("setsid sh -c 'touch \"$0\"; sleep 5' \"$0\" & while [ ! -e \"$0\" ]; do :; done; echo done");
        command.arg(folder.path().join("ready"));
        let ended = run(&mut command, LIMITS, b"", Log::Nothing, &mut unwatched).unwrap();
        assert_eq!((ended.stdout.as_slice(), ended.is_whole), (&b"done\n"[..], false));
    }

    #[test]
    fn a_watch_ends_it() {
        let error = run(&mut sh("sleep 600"), LIMITS, b"", Log::Nothing, &mut || {
            Err("enough".into())
        })
        .unwrap_err();
        assert_eq!(error.to_string(), "enough");
        let error = run(
            &mut bare("/no/such/program", Path::new("/")),
            LIMITS,
            b"",
            Log::Nothing,
            &mut unwatched,
        );
        assert!(matches!(error, Err(ChildError::Start { .. })));
    }
}
