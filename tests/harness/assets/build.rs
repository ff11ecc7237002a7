//! Builds programs from Go modules into a cache. An entry of the cache is complete or absent.

use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// Programs that are built together from one Go module, which pins their versions.
#[derive(Debug)]
pub(super) struct Recipe {
    /// Description for messages.
    pub(super) name: &'static str,
    /// The folder of the module in `tests/`. The last part of the path is also the name in the cache.
    pub(super) folder: &'static str,
    pub(super) go_mod: &'static str,
    pub(super) go_sum: &'static str,
    /// Source code in the module; may be empty.
    pub(super) source: &'static str,
    /// Names of the programs and their Go packages.
    pub(super) programs: &'static [(&'static str, &'static str)],
    /// What to do if Go is not installed.
    pub(super) or_instead: &'static str,
}

/// Interval of progress messages.
const PROGRESS_EVERY: Duration = Duration::from_secs(15);

/// The folder of the programs in `cache`; builds them if it does not exist.
pub(super) fn cached(cache: &Path, recipe: &Recipe) -> Result<PathBuf> {
    let name = recipe.name;
    let folder = Path::new(recipe.folder)
        .file_name()
        .context("the path has no folder name")?;
    let parent = cache.join(folder);
    let folder = parent.join(key(recipe)?);
    if folder.is_dir() {
        return Ok(folder);
    }
    fs::create_dir_all(&parent).with_context(|| format!("creating {}", parent.display()))?;
    // One build at a time: other processes wait and then use the result.
    let lock = File::create(folder.with_extension("lock")).context("creating the lock of the build")?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("{name}: another process is building it, waiting");
            lock.lock().context("waiting for the lock of the build")?;
        }
        Err(TryLockError::Error(error)) => return Err(error).context("locking the build"),
    }
    if folder.is_dir() {
        return Ok(folder);
    }
    build(&folder, recipe).with_context(|| format!("building {name} from tests/{}/go.mod", recipe.folder))?;
    Ok(folder)
}

/// The cache key: a hash of all inputs of the build.
fn key(recipe: &Recipe) -> Result<String> {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for part in [recipe.go_mod, recipe.go_sum, recipe.source] {
        context.update(part.as_bytes());
    }
    for (program, package) in recipe.programs {
        context.update(program.as_bytes());
        for argument in arguments(package, recipe)? {
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

fn build(folder: &Path, recipe: &Recipe) -> Result<()> {
    let Recipe { name, programs, .. } = recipe;
    match Command::new("go").arg("version").stdout(Stdio::null()).status() {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(missing_go(recipe)),
        outcome => ensure!(outcome.context("starting go")?.success(), "`go version` fails"),
    }
    // Left by a build that was killed; the lock makes deleting it safe.
    let unfinished = folder.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).with_context(|| format!("removing {}", unfinished.display()))?;
    }
    fs::create_dir(&unfinished).with_context(|| format!("creating {}", unfinished.display()))?;
    let begin = Instant::now();
    for (index, (program, package)) in programs.iter().enumerate() {
        let step = format!("{name}: {program} ({} of {})", index + 1, programs.len());
        eprintln!("{step}, building; the first build downloads Go modules and takes some minutes");
        build_one(&unfinished.join(program), recipe, package, &step)?;
    }
    fs::rename(&unfinished, folder).with_context(|| format!("moving the programs to {}", folder.display()))?;
    eprintln!(
        "{name}: built in {} s, kept in {}",
        begin.elapsed().as_secs(),
        folder.display()
    );
    Ok(())
}

fn build_one(output: &Path, recipe: &Recipe, package: &str, step: &str) -> Result<()> {
    let log_path = output.with_extension("log");
    let log = File::create(&log_path).with_context(|| format!("creating {}", log_path.display()))?;
    let mut go = Command::new("go")
        .arg("build")
        .arg("-o")
        .arg(output)
        .args(arguments(package, recipe)?)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(recipe.folder))
        .env("CGO_ENABLED", "0")
        // The user's workspace or flags would build something other than the pinned versions.
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

fn missing_go(recipe: &Recipe) -> String {
    let wanted = recipe
        .go_mod
        .lines()
        .find_map(|line| line.strip_prefix("go "))
        .unwrap_or("1.26");
    let programs: Vec<_> = recipe.programs.iter().map(|(program, _)| *program).collect();
    format!(
        "Go is not in PATH; it is needed once to build {}. Install Go {wanted} or later (https://go.dev/dl/); {}",
        programs.join(", "),
        recipe.or_instead
    )
}

/// The version of Kubernetes that the module requires.
pub(super) fn kubernetes_version(recipe: &Recipe) -> Result<&'static str> {
    let mut lines = recipe.go_mod.lines().map(str::trim);
    lines
        .find_map(|line| line.strip_prefix("k8s.io/kubernetes "))
        .and_then(|rest| rest.split_whitespace().next())
        .with_context(|| {
            format!(
                "tests/{}/go.mod requires no version of k8s.io/kubernetes",
                recipe.folder
            )
        })
}

/// Arguments of `go build`, except the output path.
fn arguments(package: &str, recipe: &Recipe) -> Result<Vec<String>> {
    let mut link = "-s -w".to_owned();
    if package.starts_with("k8s.io/kubernetes/") {
        // Without these flags the API server reports version v0.0.0-master.
        let version = kubernetes_version(recipe)?;
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
