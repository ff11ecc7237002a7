//! For images without JupyterLab: starts the notebook server and checks that it serves `/api`.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::program::{self, Limits, Log, ProgramError};

/// Usual names of start commands.
const USUAL: [&str; 3] = ["start-notebook.sh", "start-notebook.py", "start-singleuser.sh"];
/// Folders besides the search path.
const FOLDERS: [&str; 3] = ["/opt/app-root/bin", "/usr/local/bin", "/opt/app-root/src"];
/// How `watch` reports success.
const ANSWERED: &str = "answered";

/// Checks that the start command, or one with a usual name, serves `/api`. An error is a clause about the image. `start` is empty if the
/// image has no start command, and `None` if it was too long.
pub fn serves(start: Option<&[String]>, port: u16, home: &Path, time: Duration) -> Result<(), String> {
    let Some(start) = start else {
        return Err(format!(
            "it has no JupyterLab, and its start command is too long to check; move it to a script that serves /api on \
             port {port}, or install jupyterlab"
        ));
    };
    let Some((program, args)) = command(start) else {
        return Err(format!(
            "it has neither JupyterLab nor a start command; install jupyterlab, or set a CMD that serves /api on port {port}"
        ));
    };
    let mut command = Command::new(&program);
    command.args(args).env("NOTEBOOK_PORT", port.to_string());
    if start.is_empty() {
        // The image's own start command keeps its working directory.
        command.current_dir(home);
    }
    let mut watch = || {
        if answers(port) {
            Err(ANSWERED.to_owned())
        } else {
            Ok(())
        }
    };
    if watch().is_err() {
        return Err(format!("port {port} is already in use"));
    }
    let limits = Limits { time, output: 4096 };
    let what = match program::run(&mut command, limits, b"", Log::Off, &mut watch) {
        Err(ProgramError::Stopped(_)) => return Ok(()),
        Err(ProgramError::TimedOut { .. }) => {
            format!("did not serve /api on port {port} within {} s", time.as_secs())
        }
        Err(error) => format!("does not run: {error}"),
        Ok(_) => format!("exited without serving /api on port {port}"),
    };
    Err(format!(
        "it has no JupyterLab, and its start command {what}; install jupyterlab, or set a CMD that does"
    ))
}

fn command(start: &[String]) -> Option<(PathBuf, &[String])> {
    if let Some((program, args)) = start.split_first() {
        let program = if program.contains('/') {
            Some(PathBuf::from(program))
        } else {
            find(program)
        };
        return Some((program.unwrap_or_else(|| PathBuf::from("/nowhere")), args));
    }
    USUAL.iter().find_map(|name| Some((find(name)?, &[][..])))
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .chain(FOLDERS.map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|program| is_program(program))
}

/// Whether a path is an executable file.
pub fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Whether `/api` on the port responds with success or a request for credentials.
fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(500))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.set_write_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /api HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut line = [0; 12];
        stream.read_exact(&mut line)?;
        let status = line.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5));
        Ok(matches!(status, Some([b'2' | b'3', _, _])) || status == Some(b"401") || status == Some(b"403"))
    };
    ask().unwrap_or(false)
}
