//! Runs other programs without a shell: with a defined environment, limited output and time, and without leaving processes behind.
//!
//! Their output is untrusted. It is logged without control characters and returned up to a limit.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// Interval for polling the program.
const TICK: Duration = Duration::from_millis(20);
/// Polls per call of `watch`, which may be slow.
const TICKS_PER_WATCH: u32 = 10;
/// Time to wait for the end of output after the program has exited; a background process may hold the pipe open.
const DRAIN: Duration = Duration::from_secs(2);
/// Search path if the environment has none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Limits of a program.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Wall clock time.
    pub time: Duration,
    /// Bytes of output that are returned: the first of standard output, the last of standard error.
    pub output: usize,
}

/// What to log of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// Nothing.
    Off,
    /// Standard error.
    Stderr,
    /// Both, merged into one stream whose end is returned as standard error.
    Combined,
}

/// The output of a program that exited by itself.
#[derive(Clone, Debug)]
pub struct ProgramOutput {
    /// Exit status.
    pub status: ExitStatus,
    /// The beginning of standard output.
    pub stdout: Vec<u8>,
    /// Whether `stdout` is all of it.
    pub is_complete: bool,
    /// The end of standard error.
    pub stderr: String,
}

/// Why a program did not exit by itself.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It could not be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// Program.
        program: String,
        /// Error of the kernel.
        source: io::Error,
    },
    /// It was killed after the time limit.
    #[error("{program} took longer than {} seconds", time.as_secs())]
    TimedOut {
        /// Program.
        program: String,
        /// Time limit.
        time: Duration,
    },
    /// `watch` stopped it with this message.
    #[error("{0}")]
    Stopped(String),
    /// An I/O error.
    #[error("cannot run {program}: {source}")]
    Io {
        /// Program.
        program: String,
        /// Error.
        source: io::Error,
    },
}

/// A command whose environment has only PATH, HOME and locale.
pub fn clean_command(program: impl AsRef<std::ffi::OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH.into()))
        .env("HOME", home)
        .env("LANG", "C.UTF-8")
        .env("LC_ALL", "C.UTF-8");
    command
}

/// Runs a program in a new process group and kills the group at the end.
///
/// `input` is its standard input. `watch` is called several times per second and stops the program by returning an error.
pub fn run(
    command: &mut Command,
    limits: Limits,
    input: &[u8],
    log: Log,
    watch: &mut dyn FnMut() -> Result<(), String>,
) -> Result<ProgramOutput, ProgramError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source: io::Error| ProgramError::Io {
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
    if log == Log::Combined {
        let (reader, writer) = io::pipe().map_err(failed)?;
        command.stdout(writer.try_clone().map_err(failed)?).stderr(writer);
        both = Some(reader);
    }
    let mut child = command.spawn().map_err(|source| ProgramError::Start {
        program: program.clone(),
        source,
    })?;
    // The command owns the write end of the pipe, which would keep it open.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let group = Group::of(&child);
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_vec();
        // A program that does not read all of its input closes the pipe.
        thread::spawn(move || stdin.write_all(&input));
    }
    let stdout = child.stdout.take().map(|pipe| Capture::first(pipe, limits.output));
    let stderr = match (both, child.stderr.take()) {
        (Some(pipe), _) => Some(Capture::last(pipe, limits.output, true)),
        (None, pipe) => pipe.map(|pipe| Capture::last(pipe, limits.output, log == Log::Stderr)),
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
            break Err(ProgramError::TimedOut {
                program: program.clone(),
                time: limits.time,
            });
        }
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(TICKS_PER_WATCH)
            && let Err(why) = watch()
        {
            break Err(ProgramError::Stopped(why));
        }
        thread::sleep(TICK);
    };
    // The leader has not been reaped, so the id of the group cannot have been reused.
    group.kill();
    let status = child.wait().map_err(failed)?;
    let (stdout, is_complete) = stdout.map(Capture::take).unwrap_or_default();
    let (stderr, _) = stderr.map(Capture::take).unwrap_or_default();
    outcome?;
    Ok(ProgramOutput {
        status,
        stdout,
        is_complete,
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}

/// A `watch` that never stops the program.
pub fn never_stop() -> Result<(), String> {
    Ok(())
}

/// The process group of a program.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(i32::try_from(child.id()).ok().and_then(Pid::from_raw))
    }

    /// Whether the leader has exited. Does not reap it.
    fn has_ended(&self) -> io::Result<bool> {
        let Some(pid) = self.0 else { return Ok(true) };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(pid), options)?.is_some())
    }

    fn kill(&self) {
        if let Some(pid) = self.0 {
            // Fails if the group is empty.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// A thread that reads a pipe to its end, and the part that it returns.
struct Capture {
    bytes: Arc<Mutex<(Vec<u8>, bool)>>,
    done: Receiver<()>,
}

impl Capture {
    fn first(pipe: impl Read + Send + 'static, limit: usize) -> Self {
        Self::read(pipe, move |(captured, is_complete), chunk| {
            let room = limit.saturating_sub(captured.len()).min(chunk.len());
            captured.extend_from_slice(&chunk[..room]);
            *is_complete &= room == chunk.len();
        })
    }

    fn last(pipe: impl Read + Send + 'static, limit: usize, is_logged: bool) -> Self {
        Self::read(pipe, move |(captured, is_complete), chunk| {
            if is_logged {
                write_log(chunk);
            }
            captured.extend_from_slice(chunk);
            let surplus = captured.len().saturating_sub(limit);
            captured.drain(..surplus);
            *is_complete &= surplus == 0;
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
            // The receiver may have timed out.
            let _ = end.send(());
        });
        Self { bytes, done }
    }

    fn take(self) -> (Vec<u8>, bool) {
        let is_closed = self.done.recv_timeout(DRAIN).is_ok();
        let mut captured = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut captured.0), captured.1 && is_closed)
    }
}

fn write_log(chunk: &[u8]) {
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
    // The log is best effort.
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        time: Duration::from_secs(20),
        output: 1000,
    };

    fn sh(script: &str) -> Command {
        let mut command = clean_command("sh", Path::new("/"));
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_is_limited() {
        let mut command = sh("head -c 100000 /dev/zero | tr '\\0' a; echo end >&2");
        let ended = run(&mut command, LIMITS, b"", Log::Off, &mut never_stop).unwrap();
        assert_eq!(
            (ended.stdout.len(), ended.is_complete, ended.stderr.as_str()),
            (1000, false, "end\n")
        );
    }

    #[test]
    fn outputs_can_be_combined() {
        let mut command = sh("echo a; echo b >&2; echo c");
        let ended = run(&mut command, LIMITS, b"", Log::Combined, &mut never_stop).unwrap();
        assert_eq!((ended.stdout.len(), ended.stderr.as_str()), (0, "a\nb\nc\n"));
    }

    #[test]
    fn input_is_passed_and_the_environment_is_not() {
        let ended = run(&mut sh("cat; env | sort"), LIMITS, b"in\n", Log::Off, &mut never_stop).unwrap();
        let text = String::from_utf8(ended.stdout).unwrap();
        assert!(text.starts_with("in\nHOME=/\nLANG=C.UTF-8\n"), "{text}");
        assert!(!text.contains("CARGO"), "{text}");
    }

    #[test]
    fn a_timeout_kills_the_process_group() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let mut command = sh("sleep 600 & echo $! > \"$0\"; wait");
        command.arg(&pid);
        let limits = Limits {
            time: Duration::from_millis(500),
            ..LIMITS
        };
        let started = Instant::now();
        let error = run(&mut command, limits, b"", Log::Off, &mut never_stop).unwrap_err();
        assert!(matches!(error, ProgramError::TimedOut { .. }), "{error}");
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
    fn output_held_open_by_another_process_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let mut command =
            sh("setsid sh -c 'touch \"$0\"; sleep 5' \"$0\" & while [ ! -e \"$0\" ]; do :; done; echo done");
        command.arg(folder.path().join("ready"));
        let ended = run(&mut command, LIMITS, b"", Log::Off, &mut never_stop).unwrap();
        assert_eq!((ended.stdout.as_slice(), ended.is_complete), (&b"done\n"[..], false));
    }

    #[test]
    fn watch_stops_the_program() {
        let error = run(
            &mut sh("sleep 600"),
            LIMITS,
            b"",
            Log::Off,
            &mut || Err("enough".into()),
        )
        .unwrap_err();
        assert_eq!(error.to_string(), "enough");
        let error = run(
            &mut clean_command("/no/such/program", Path::new("/")),
            LIMITS,
            b"",
            Log::Off,
            &mut never_stop,
        );
        assert!(matches!(error, Err(ProgramError::Start { .. })));
    }
}
