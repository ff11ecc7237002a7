//! Locks requirements with `uv pip compile`: all packages with versions and hashes.
//!
//! To find the dependencies of a package, uv may run its build. Therefore the task has no credentials.

mod uv_error;

use std::path::Path;
use std::time::Duration;

use cnbi_shared::contract::{Reason, Settings};
use cnbi_shared::grammar::requirement::{Requirement, parse_package_item, trim};
use cnbi_shared::verdict::printable;

use crate::base_image::Target;
use crate::egress::Egress;
use crate::error::StepError;
use crate::program::{self, Limits, Log, ProgramError};

pub use uv_error::{UvError, classify};

/// Maximum size of a lock file, in bytes. A package can have hundreds of files with a hash of 80 bytes each.
const MAX_LOCK: u64 = 16 << 20;
/// Maximum output of uv that is used, in bytes.
const OUTPUT_LIMIT: usize = 256 << 10;

/// uv with its settings.
#[derive(Clone, Debug)]
pub struct Uv<'a> {
    /// The program.
    pub program: &'a Path,
    /// A private folder for its cache.
    pub home: &'a Path,
    /// Proxy and CA certificates.
    pub egress: &'a Egress,
    /// The package indexes.
    pub settings: &'a Settings,
    /// Time limit.
    pub time: Duration,
}

/// Writes one requirement per line, so that uv and pip cannot read it as anything else.
///
/// The rules reject the same requirements earlier; this check protects uv.
pub fn requirements(items: &[String]) -> Result<String, StepError> {
    let mut file = String::new();
    for item in items {
        let invalid = |what: &str| {
            let shown = printable(item, 100);
            StepError::new(Reason::PackageListUnavailable, format!("\"{shown}\" {what}"))
        };
        let requirement =
            parse_package_item(item).map_err(|error| invalid(&format!("is not a requirement: {error}")))?;
        let text = trim(item);
        // A backslash joins lines, `${X}` expands a variable, and ` #` starts a comment.
        if text.starts_with('-') || text.contains(['\\', '$']) || text.contains(" #") || text.contains(char::is_control)
        {
            return Err(invalid(
                "contains a character with a special meaning in requirements files: a leading \"-\", \"\\\\\", \"$\", \" #\" or a control character",
            ));
        }
        if let Some(url) = requirement.url() {
            reference(url).map_err(invalid)?;
        }
        file.push_str(text);
        file.push('\n');
    }
    Ok(file)
}

fn reference(url: &str) -> Result<(), &'static str> {
    let parsed = url::Url::parse(url).map_err(|_| "has an invalid URL")?;
    if parsed.scheme() == "git+https" {
        return Err(
            "refers to a Git repository, which cannot be locked with a hash (CNB205); use the URL of an archive of the commit",
        );
    }
    if parsed.scheme() != "https" {
        return Err("cannot be locked with a hash: use an archive at an https URL");
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("has credentials in its URL; remove them");
    }
    Ok(())
}

/// The normalized names of requirements.
fn names(requirements: &str) -> Vec<String> {
    requirements
        .lines()
        .filter_map(|line| Requirement::parse(line).ok())
        .map(|requirement| requirement.normalized_name().into_owned())
        .collect()
}

impl Uv<'_> {
    /// Locks the file `input` in `folder`, to which relative paths in it refer.
    pub fn compile(&self, folder: &Path, input: &str, target: &Target) -> Result<String, StepError> {
        let output = self.home.join("lock.txt");
        let python = &self.settings.python;
        let mut command = program::clean_command(self.program, self.home);
        self.egress.configure(&mut command);
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
            output: OUTPUT_LIMIT,
        };
        let ended = program::run(&mut command, limits, b"", Log::Stderr, &mut program::never_stop).map_err(
            |error| match error {
                ProgramError::TimedOut { .. } => StepError::new(
                    Reason::SourceRepositoryUnavailable,
                    format!(
                        "uv found no solution within {} seconds; pin more versions in spec.packageVersions",
                        self.time.as_secs()
                    ),
                ),
                error => StepError::other(error.to_string()),
            },
        )?;
        if !ended.status.success() {
            let requested = std::fs::read_to_string(folder.join(input)).unwrap_or_default();
            return Err(uv_failure(&ended.stderr, &names(&requested)));
        }
        let read = crate::workspace::read(self.home, "lock.txt", MAX_LOCK)
            .map_err(|error| StepError::other(format!("cannot read the lock file: {error}")))?;
        let lock =
            String::from_utf8(read.unwrap_or_default()).map_err(|_| StepError::other("the lock file is not UTF-8"))?;
        hashed(&lock)?;
        Ok(format!("{}{lock}", indexes(python)))
    }
}

/// The package indexes as lines of a lock file, so that it can be installed elsewhere.
pub fn indexes(python: &cnbi_shared::config::Python) -> String {
    let mut lines = format!("--index-url {}\n", python.index_url);
    for index in &python.extra_index_urls {
        lines.push_str("--extra-index-url ");
        lines.push_str(index);
        lines.push('\n');
    }
    lines
}

/// Checks that every entry has a hash. pip's error would be less clear.
fn hashed(lock: &str) -> Result<(), StepError> {
    let joined = lock.replace("\\\n", " ");
    let entries = joined
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with("--"));
    for entry in entries {
        if !entry.contains("--hash=sha256:") {
            let shown = printable(entry.split_whitespace().next().unwrap_or_default(), 100);
            return Err(StepError::other(format!(
                "\"{shown}\" cannot be locked with a hash; remove it, or use a Git repository with a Containerfile that installs it"
            )));
        }
    }
    Ok(())
}

fn uv_failure(stderr: &str, requested: &[String]) -> StepError {
    match classify(stderr, requested) {
        UvError::Unsolvable(why) => StepError::new(
            Reason::RequirementsUnsolvable,
            format!("the requirements conflict: {why}"),
        ),
        UvError::Unknown(names) => StepError::new(
            Reason::PackageListUnavailable,
            format!("not found in the package index: {names}; check the spelling in spec.packageVersions"),
        ),
        UvError::Unreachable(why) => StepError::new(
            Reason::SourceRepositoryUnavailable,
            format!("cannot reach the package index: {why}"),
        ),
        UvError::Other(why) => StepError::new(
            Reason::PackageListUnavailable,
            format!("cannot lock the requirements: {why}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(item: &str) -> String {
        requirements(&[item.to_owned()]).unwrap_or_else(|failure| failure.message)
    }

    #[test]
    fn requirements_become_lines() {
        assert_eq!(
            message(" pandas>=2 ; python_version < '3.12'\n"),
            "pandas>=2 ; python_version < '3.12'\n"
        );
        assert_eq!(
            message("a @ https://files.example/a-1.0-py3-none-any.whl"),
            "a @ https://files.example/a-1.0-py3-none-any.whl\n"
        );
    }

    #[test]
    fn options_paths_and_expansions_are_rejected() {
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
    fn git_urls_are_rejected_with_rule_and_fix() {
        let failure = requirements(&["a @ git+https://x.io/a@v1".to_owned()]).unwrap_err();
        assert_eq!(failure.reason, Some(Reason::PackageListUnavailable));
        let expected = "cannot be locked with a hash (CNB205); use the URL of an archive of the commit";
        assert!(failure.message.ends_with(expected), "{}", failure.message);
    }

    #[test]
    fn entries_without_hashes_are_rejected() {
        hashed("--index-url https://x\n# note\na==1 \\\n    --hash=sha256:0\n    # via x\n").unwrap();
        let failure = hashed("a==1 \\\n    --hash=sha256:0\n-e file:///b\n").unwrap_err();
        assert!(
            failure.message.contains("\"-e\" cannot be locked"),
            "{}",
            failure.message
        );
    }
}
