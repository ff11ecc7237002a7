//! Requirements to a lock: every package with its version and the hashes of its files, found by `uv pip compile`.
//!
//! uv runs with an environment of ours and no configuration. To learn what a package needs it may have to run that
//! package's build, which is why this is no work for a task with credentials.

mod cause;

use std::path::Path;
use std::time::Duration;

use cnbi_shared::contract::{Reason, Settings};
use cnbi_shared::grammar::requirement::{Requirement, admit, trim};
use cnbi_shared::verdict::printable;

use crate::base::Target;
use crate::child::{self, ChildError, Limits, Log};
use crate::failure::Failure;
use crate::outside::Outside;

pub use cause::{Cause, cause};

/// Most bytes of a lock: a package can have hundreds of files, each with a hash of 80 bytes.
const LOCK: u64 = 16 << 20;
/// Most bytes that are kept of what uv says.
const KEPT: usize = 256 << 10;

/// How uv is run.
#[derive(Clone, Debug)]
pub struct Uv<'a> {
    /// The program.
    pub program: &'a Path,
    /// A folder of ours, for its cache and whatever else it keeps.
    pub home: &'a Path,
    /// How the index is reached.
    pub outside: &'a Outside,
    /// Which index.
    pub settings: &'a Settings,
    /// How long it may take.
    pub time: Duration,
}

/// Requirements, one a line, as uv and pip read them and in no other way.
///
/// The rules have refused all that is refused here; this is the last place before a program that would do as it is told.
pub fn requirements(items: &[String]) -> Result<String, Failure> {
    let mut file = String::new();
    for item in items {
        let refused = |what: &str| {
            let shown = printable(item, 100);
            Failure::new(Reason::PackageListUnavailable, format!("\"{shown}\" {what}"))
        };
        let requirement = admit(item).map_err(|error| refused(&format!("is no requirement: {error}")))?;
        let text = trim(item);
        // A backslash at its end would make one line of two, `${X}` would become a variable's value, and the rest of the line
        // after ` #` would be a comment.
        if text.starts_with('-') || text.contains(['\\', '$']) || text.contains(" #") || text.contains(char::is_control)
        {
            return Err(refused("has a character in it that pip and uv take for something else"));
        }
        if let Some(url) = requirement.url() {
            reference(url).map_err(refused)?;
        }
        file.push_str(text);
        file.push('\n');
    }
    Ok(file)
}

fn reference(url: &str) -> Result<(), &'static str> {
    let parsed = url::Url::parse(url).map_err(|_| "has no URL that can be read")?;
    if parsed.scheme() == "git+https" {
        return Err(
            "names a repository, which no hash can be locked for (CNB205); give the URL of an archive of the commit",
        );
    }
    if parsed.scheme() != "https" {
        return Err("cannot be locked with a hash: only archives at https URLs can");
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("has a URL with credentials");
    }
    Ok(())
}

/// The names in a list of requirements, as an index knows them.
fn names(requirements: &str) -> Vec<String> {
    requirements
        .lines()
        .filter_map(|line| Requirement::parse(line).ok())
        .map(|requirement| requirement.normalized_name().into_owned())
        .collect()
}

impl Uv<'_> {
    /// Locks the file `input` of `folder` for that Python. The folder is where relative paths in it begin.
    pub fn compile(&self, folder: &Path, input: &str, target: &Target) -> Result<String, Failure> {
        let output = self.home.join("lock.txt");
        let python = &self.settings.python;
        let mut command = child::bare(self.program, self.home);
        self.outside.tell(&mut command);
        command
            .current_dir(folder)
            .env("UV_PYTHON_DOWNLOADS", "never")
            .env("UV_NO_CONFIG", "1")
            .env("UV_HTTP_TIMEOUT", "30")
            .args([
                "pip",
                "compile",
                "--no-config",
                "--generate-hashes",
                "--no-header",
                "--no-progress",
            ])
            .args(["--color", "never"])
            .args([
                "--python-version",
                &target.python,
                "--python-platform",
                target.platform(),
            ])
            .arg("--cache-dir")
            .arg(self.home.join("cache"))
            .args(["--default-index", &python.index_url]);
        for index in &python.extra_index_urls {
            command.args(["--index", index]);
        }
        command.arg("--output-file").arg(&output).args(["--", input]);
        let limits = Limits {
            time: self.time,
            kept: KEPT,
        };
        let ended =
            child::run(&mut command, limits, b"", Log::Errors, &mut child::unwatched).map_err(|error| match error {
                ChildError::TimedOut { .. } => Failure::new(
                    Reason::SourceRepositoryUnavailable,
                    format!("no solution was found in {} seconds", self.time.as_secs()),
                ),
                error => Failure::unforeseen(error.to_string()),
            })?;
        if !ended.status.success() {
            let requested = std::fs::read_to_string(folder.join(input)).unwrap_or_default();
            return Err(refused(&ended.stderr, &names(&requested)));
        }
        let read = crate::work::read(self.home, "lock.txt", LOCK)
            .map_err(|error| Failure::unforeseen(format!("reading the lock: {error}")))?;
        let lock =
            String::from_utf8(read.unwrap_or_default()).map_err(|_| Failure::unforeseen("the lock is not UTF-8"))?;
        hashed(&lock)?;
        Ok(format!("{}{lock}", indexes(python)))
    }
}

/// The lines that say where the packages come from: without them a lock is good for one index only, and nobody knows which.
pub fn indexes(python: &cnbi_shared::config::Python) -> String {
    let mut lines = format!("--index-url {}\n", python.index_url);
    for index in &python.extra_index_urls {
        lines.push_str("--extra-index-url ");
        lines.push_str(index);
        lines.push('\n');
    }
    lines
}

/// Every entry has a hash, or pip would refuse the whole lock with less to say.
fn hashed(lock: &str) -> Result<(), Failure> {
    let joined = lock.replace("\\\n", " ");
    let entries = joined
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with("--"));
    for entry in entries {
        if !entry.contains("--hash=sha256:") {
            let shown = printable(entry.split_whitespace().next().unwrap_or_default(), 100);
            return Err(Failure::unforeseen(format!(
                "\"{shown}\" cannot be locked with a hash; take it out, or write a Containerfile that installs it"
            )));
        }
    }
    Ok(())
}

fn refused(stderr: &str, requested: &[String]) -> Failure {
    match cause(stderr, requested) {
        Cause::Unsolvable(why) => Failure::new(
            Reason::RequirementsUnsolvable,
            format!("requirements cannot be solved: {why}"),
        ),
        Cause::Unknown(names) => Failure::new(
            Reason::PackageListUnavailable,
            format!("the package index has no package named {names}"),
        ),
        Cause::Unreachable(why) => Failure::new(
            Reason::SourceRepositoryUnavailable,
            format!("the package index could not be asked: {why}"),
        ),
        Cause::Other(why) => Failure::new(
            Reason::PackageListUnavailable,
            format!("requirements cannot be locked: {why}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(item: &str) -> String {
        requirements(&[item.to_owned()]).unwrap_or_else(|failure| failure.message)
    }

    #[test]
    fn requirements_become_lines() {
        assert_eq!(
            said(" pandas>=2 ; python_version < '3.12'\n"),
            "pandas>=2 ; python_version < '3.12'\n"
        );
        assert_eq!(
            said("a @ https://files.example/a-1.0-py3-none-any.whl"),
            "a @ https://files.example/a-1.0-py3-none-any.whl\n"
        );
    }

    #[test]
    fn nothing_that_is_more_than_a_requirement_gets_through() {
        for item in [
            "-r /etc/passwd",
            "--index-url=https://evil.example",
            "-e .",
            "./local",
            "pandas\n--index-url https://evil.example",
            "pandas\u{2028}-e .",
            "pandas --hash=sha256:0",
            "a @ https://x.io/a.whl\\",
            "a @ https://${TOKEN}.x.io/a.whl",
            "a @ file:///etc/passwd",
            "a @ git+https://x.io/a",
            "a @ https://u:p@x.io/a.whl",
            "a @ http://x.io/a.whl",
            "$(rm -rf /)",
            "a b",
        ] {
            let failure = requirements(&[item.to_owned()]).expect_err(item);
            assert_eq!(failure.reason, Some(Reason::PackageListUnavailable), "{item}");
        }
    }

    #[test]
    fn what_the_rules_only_warn_of_is_refused_with_the_rule_and_what_to_write() {
        let failure = requirements(&["a @ git+https://x.io/a@v1".to_owned()]).unwrap_err();
        assert_eq!(failure.reason, Some(Reason::PackageListUnavailable));
        let wanted = "no hash can be locked for (CNB205); give the URL of an archive of the commit";
        assert!(failure.message.ends_with(wanted), "{}", failure.message);
    }

    #[test]
    fn a_lock_without_hashes_is_none() {
        hashed("--index-url https://x\n# note\na==1 \\\n    --hash=sha256:0\n    # via x\n").unwrap();
        let failure = hashed("a==1 \\\n    --hash=sha256:0\n-e file:///b\n").unwrap_err();
        assert!(
            failure.message.contains("\"-e\" cannot be locked"),
            "{}",
            failure.message
        );
    }
}
