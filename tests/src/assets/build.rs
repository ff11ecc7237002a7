//! The build of the control plane's programs, into a cache that is complete or absent.

use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::{GO_MOD, GO_SUM, PROGRAMS, kubernetes_version};

/// How often a build that goes on says so.
const PROGRESS_EVERY: Duration = Duration::from_secs(15);

/// The folder of the pinned programs under `cache`, built when it is not there yet.
pub(super) fn cached(cache: &Path) -> Result<PathBuf> {
    let parent = cache.join("controlplane");
    let folder = parent.join(key()?);
    if folder.is_dir() {
        return Ok(folder);
    }
    fs::create_dir_all(&parent).with_context(|| format!("creating {}", parent.display()))?;
    // One build at a time: a second process waits, and then finds the folder there.
    let lock = File::create(folder.with_extension("lock")).context("creating the lock of the build")?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("control plane: another process is building it, waiting");
            lock.lock().context("waiting for the lock of the build")?;
        }
        Err(TryLockError::Error(error)) => return Err(error).context("taking the lock of the build"),
    }
    if folder.is_dir() {
        return Ok(folder);
    }
    build(&folder).with_context(|| {
        let version = kubernetes_version().unwrap_or("of unknown version");
        format!("building the control plane of Kubernetes {version}")
    })?;
    Ok(folder)
}

/// Names a build by all that goes into it.
fn key() -> Result<String> {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for part in [GO_MOD, GO_SUM] {
        context.update(part.as_bytes());
    }
    for (program, package) in PROGRAMS {
        context.update(program.as_bytes());
        for argument in arguments(package)? {
            context.update(argument.as_bytes());
        }
    }
    let digest = context.finish();
    let head = digest
        .as_ref()
        .first_chunk()
        .context("a digest of SHA-256 has 32 bytes")?;
    Ok(format!("{:016x}", u64::from_be_bytes(*head)))
}

fn build(folder: &Path) -> Result<()> {
    match Command::new("go").arg("version").stdout(Stdio::null()).status() {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(missing_go()),
        outcome => ensure!(outcome.context("starting go")?.success(), "`go version` fails"),
    }
    // Whoever holds the lock owns this name, so what a killed build left behind is taken away here.
    let unfinished = folder.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).with_context(|| format!("removing {}", unfinished.display()))?;
    }
    fs::create_dir(&unfinished).with_context(|| format!("creating {}", unfinished.display()))?;
    let begin = Instant::now();
    for (index, (program, package)) in PROGRAMS.into_iter().enumerate() {
        let step = format!("control plane: {program} ({} of {})", index + 1, PROGRAMS.len());
        eprintln!("{step}, building; the first time this takes some minutes and downloads Go modules");
        build_one(&unfinished.join(program), package, &step)?;
    }
    fs::rename(&unfinished, folder).with_context(|| format!("moving the programs to {}", folder.display()))?;
    eprintln!(
        "control plane: built in {} s, kept in {}",
        begin.elapsed().as_secs(),
        folder.display()
    );
    Ok(())
}

fn build_one(output: &Path, package: &str, step: &str) -> Result<()> {
    let log_path = output.with_extension("log");
    let log = File::create(&log_path).with_context(|| format!("creating {}", log_path.display()))?;
    let mut go = Command::new("go")
        .arg("build")
        .arg("-o")
        .arg(output)
        .args(arguments(package)?)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/controlplane"))
        .env("CGO_ENABLED", "0")
        // A workspace or flags of the user's own would build something else than what is pinned here.
        .env("GOWORK", "off")
        .env_remove("GOFLAGS")
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("sharing the log of the build")?)
        .stderr(log)
        .spawn()
        .context("starting go")?;
    let begin = Instant::now();
    let mut reported = begin;
    let status = loop {
        if let Some(status) = go.try_wait().context("waiting for go")? {
            break status;
        }
        if reported.elapsed() >= PROGRESS_EVERY {
            reported = Instant::now();
            eprintln!("{step}, {} s", begin.elapsed().as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    ensure!(
        status.success(),
        "go build {package}: {status}\n{}",
        crate::process::tail(&log_path)
    );
    fs::remove_file(&log_path).with_context(|| format!("removing {}", log_path.display()))
}

fn missing_go() -> String {
    let wanted = GO_MOD
        .lines()
        .find_map(|line| line.strip_prefix("go "))
        .unwrap_or("1.26");
    format!(
        "there is no `go` on the PATH, and it is needed once to build etcd, kube-apiserver, kube-controller-manager and \
         kubectl. Install Go {wanted} or later (https://go.dev/dl/), or set {} to a folder that holds these four programs",
        super::VARIABLES[0]
    )
}

/// What `go build` is told, apart from where to put the result.
fn arguments(package: &str) -> Result<Vec<String>> {
    let mut link = "-s -w".to_owned();
    if package.starts_with("k8s.io/kubernetes/") {
        // Without these the API server would say that it is v0.0.0-master.
        let version = kubernetes_version()?;
        let mut numbers = version.trim_start_matches('v').split('.');
        let (major, minor) = numbers
            .next()
            .zip(numbers.next())
            .with_context(|| format!("{version} is not a version of Kubernetes"))?;
        for (name, value) in [("gitVersion", version), ("gitMajor", major), ("gitMinor", minor)] {
            write!(link, " -X k8s.io/component-base/version.{name}={value}")?;
        }
    }
    Ok(vec![
        "-trimpath".to_owned(),
        "-ldflags".to_owned(),
        link,
        package.to_owned(),
    ])
}
