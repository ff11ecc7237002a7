//! `cnbi-step fetch git` over SSH: the real client and Git, and a test server that accepts one key.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_shared::contract::Settings;
use cnbi_tests::{assets, process::binary};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A server, its repository, and the keys.
struct Served {
    folder: TempDir,
    server: Child,
    port: u16,
    commit: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        // The server may have exited already; its output is not needed.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn run(folder: &Path, call: &[&str]) -> String {
    let mut command = Command::new(call[0]);
    command.current_dir(folder).args(&call[1..]);
    for (name, value) in [("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")] {
        command.env(name, value);
    }
    let output = command.output().unwrap_or_else(|error| panic!("{call:?}: {error}"));
    assert!(output.status.success(), "{call:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Served {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for key in ["host", "other-host", "user", "stranger"] {
            run(
                path,
                &["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key],
            );
        }
        run(path, &["git", "init", "--quiet", "--initial-branch=main", "repo.git"]);
        let work = path.join("repo.git");
        fs::write(work.join("requirements.txt"), "six\n").unwrap();
        run(&work, &["git", "add", "--all"]);
        let commit =
            "git -c user.name=T -c user.email=t@example.com -c commit.gpgSign=false commit --quiet --message first";
        run(&work, &commit.split(' ').collect::<Vec<_>>());
        let commit = run(&work, &["git", "rev-parse", "HEAD"]);
        let mut server = Command::new(assets::ssh_server().unwrap())
            .current_dir(path)
            .args(["host", "user.pub", "."])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            port: line.trim().parse().unwrap(),
            folder,
            server,
            commit,
        }
    }

    fn key(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// The `known_hosts` line for this server with that key.
    fn known(&self, key: &str) -> String {
        format!("[localhost]:{} {}", self.port, self.key(key))
    }

    /// Fetches with a Secret that has those entries.
    fn fetch(&self, repository: &str, git_ref: Option<&str>, secret: &[(&str, &str)]) -> Told {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| -> PathBuf {
            let folder = place.path().join(name);
            fs::create_dir_all(&folder).unwrap();
            folder
        };
        for (name, text) in secret {
            fs::write(path("secret").join(name), text).unwrap();
        }
        let mut asked = json!({"repositoryUrl": format!("ssh://git@localhost:{}/{repository}", self.port)});
        if let Some(git_ref) = git_ref {
            asked["gitRef"] = json!(git_ref);
        }
        let encoded = |value: Value| STANDARD.encode(value.to_string());
        let output = Command::new(binary("cnbi-step").unwrap())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", path("home"))
            .arg("--results")
            .arg(path("results"))
            .args(["fetch", "git", "--git-credentials"])
            .arg(path("secret"))
            .arg("--work")
            .arg(path("work"))
            .args(["--request", &encoded(asked)])
            .args(["--settings", &encoded(json!(Settings::default()))])
            .output()
            .unwrap();
        let read = |name: &str| fs::read_to_string(path("results").join(name)).unwrap();
        Told {
            code: output.status.code(),
            reason: read("reason"),
            message: read("message"),
            commit: read("commit"),
            is_there: path("work").join("source/requirements.txt").is_file(),
            log: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

#[derive(Debug)]
struct Told {
    code: Option<i32>,
    reason: String,
    message: String,
    commit: String,
    is_there: bool,
    log: String,
}

impl Told {
    fn refused(&self, reason: &str, message: &str) {
        assert_eq!((self.code, self.reason.as_str()), (Some(1), reason), "{self:?}");
        assert!(self.message.contains(message), "{self:?}");
        assert!(self.commit.is_empty() && !self.is_there, "{self:?}");
        assert!(!self.log.contains("PRIVATE KEY"), "{self:?}");
    }
}

#[test]
fn a_repository_is_fetched_over_ssh_from_a_known_host() {
    let served = Served::start();
    let (key, known) = (served.key("user"), served.known("host.pub"));
    let right = [("ssh-privatekey", key.as_str()), ("known_hosts", known.as_str())];
    for git_ref in [None, Some("main"), Some(served.commit.as_str())] {
        let told = served.fetch("repo.git", git_ref, &right);
        assert_eq!((told.code, told.is_there), (Some(0), true), "{told:?}");
        assert_eq!(told.commit, served.commit);
    }
    served
        .fetch("repo.git", Some("nosuch"), &right)
        .refused("GitRefNotFound", "nosuch");
    served
        .fetch("none.git", None, &right)
        .refused("GitUnauthorized", "no such repository");
}

#[test]
fn an_unknown_ssh_host_is_rejected() {
    let served = Served::start();
    let key = served.key("user");
    let of_another_host = format!("[elsewhere.example]:22 {}", served.key("host.pub"));
    for known in [served.known("other-host.pub"), of_another_host] {
        let told = served.fetch("repo.git", None, &[("ssh-privatekey", &key), ("known_hosts", &known)]);
        told.refused("GitUnauthorized", "localhost");
        assert!(told.log.contains("Host key verification failed"), "{told:?}");
    }
    let told = served.fetch("repo.git", None, &[("ssh-privatekey", &key)]);
    told.refused("GitUnauthorized", "no entry \"known_hosts\"");
}

#[test]
fn a_rejected_ssh_key_is_reported() {
    let served = Served::start();
    let (key, known) = (served.key("stranger"), served.known("host.pub"));
    let told = served.fetch("repo.git", None, &[("ssh-privatekey", &key), ("known_hosts", &known)]);
    told.refused("GitUnauthorized", "denied access to the repository");
}
