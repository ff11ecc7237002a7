//! A Git server for tests: bare repositories behind `git http-backend`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::https::{Request, Response, Server};

/// The credential for `/private/` and pushes.
pub const USER: (&str, &str) = ("robot", "hunter2");

/// Repositories and their server.
pub struct GitServer {
    folder: tempfile::TempDir,
    pub server: Server,
    seen: Arc<Mutex<Vec<String>>>,
}

impl GitServer {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let server = Server::start(move |request| {
            log.lock().unwrap().push(format!("{} {}", request.method, request.path));
            answer(&root, request)
        });
        Self { folder, server, seen }
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn url(&self, name: &str) -> String {
        self.server.url(&format!("/{name}"))
    }

    /// Creates an empty bare repository.
    pub fn run_plain(&self, name: &str) {
        fs::create_dir_all(self.path(name)).unwrap();
        git(
            &self.path(name),
            &["init", "--quiet", "--bare", "--initial-branch=main", "."],
        );
        git(&self.path(name), &["config", "http.receivepack", "true"]);
    }

    /// Creates a repository with one commit, branch `main` and tag `v1`. Returns the commit id.
    pub fn repository(&self, name: &str, write: impl FnOnce(&Path)) -> String {
        self.run_plain(name);
        let work = tempfile::tempdir().unwrap();
        git(work.path(), &["init", "--quiet", "--initial-branch=main", "."]);
        write(work.path());
        git(work.path(), &["add", "--all"]);
        git(
            work.path(),
            &["commit", "--quiet", "--allow-empty", "--message", "first"],
        );
        git(work.path(), &["tag", "--annotate", "--message", "first", "v1"]);
        let target = self.path(name);
        git(
            work.path(),
            &["push", "--quiet", target.to_str().unwrap(), "main", "v1"],
        );
        git(work.path(), &["rev-parse", "HEAD"])
    }
}

/// Runs Git and returns its output.
pub fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args([
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@example.com",
            "-c",
            "commit.gpgSign=false",
        ])
        .args(["-c", "protocol.file.allow=always"])
        .args(args)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn answer(root: &Path, request: &Request) -> Response {
    let token = STANDARD.encode(format!("{}:{}", USER.0, USER.1));
    let is_known = request.header("authorization") == Some(&format!("Basic {token}"));
    if request.path.starts_with("/moved/") {
        let mut response = Response::of(301);
        response
            .headers
            .push(("Location".to_owned(), "https://elsewhere.invalid/x".to_owned()));
        return response;
    }
    if request.path.starts_with("/broken/") {
        return Response::of(503);
    }
    let is_push = request.path.ends_with("git-receive-pack") || request.query.contains("git-receive-pack");
    if (request.path.starts_with("/private/") || is_push) && !is_known {
        let mut response = Response::of(401);
        response
            .headers
            .push(("WWW-Authenticate".to_owned(), "Basic realm=\"x\"".to_owned()));
        return response;
    }
    cgi(root, request, is_known)
}

fn cgi(root: &Path, request: &Request, is_known: bool) -> Response {
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", &request.path)
        .env("QUERY_STRING", &request.query)
        .env("CONTENT_TYPE", request.header("content-type").unwrap_or_default())
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("GIT_PROTOCOL", request.header("git-protocol").unwrap_or_default())
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if let Some(encoding) = request.header("content-encoding") {
        command.env("HTTP_CONTENT_ENCODING", encoding);
    }
    if is_known {
        command.env("REMOTE_USER", USER.0);
    }
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = request.body.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&body));
    let output = child.wait_with_output().unwrap();
    // The program may exit without reading everything.
    let _ = writer.join().unwrap();
    let split = output
        .stdout
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap_or(0);
    let mut response = Response::of(200);
    for line in String::from_utf8_lossy(&output.stdout[..split]).lines() {
        match line.split_once(": ") {
            Some(("Status", status)) => response.status = status[..3].parse().unwrap(),
            Some((name, value)) => response.headers.push((name.to_owned(), value.to_owned())),
            None => {}
        }
    }
    response.body = output.stdout[(split + 4).min(output.stdout.len())..].to_vec();
    response
}
