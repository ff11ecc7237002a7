//! Finds the programs of this workspace, and checks that they are not older than their sources.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail, ensure};

/// The program `name` of this workspace, in the folder of the running one.
///
/// Cargo does not build programs of other crates that a test starts. A missing or outdated program is an error, because the test
/// would check old code.
pub fn binary(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("finding the running program")?;
    let mut folder = own.parent().context("the running program has no folder")?;
    if folder.ends_with("deps") {
        folder = folder.parent().unwrap_or(folder);
    }
    let path = folder.join(name);
    if !path.is_file() {
        bail!(
            "{} is not there: build it first, with `make build` or `cargo build --bins`",
            path.display()
        );
    }
    if let Some(newer) = newer_source(&path)? {
        bail!(
            "{} is older than {}: build it again, with `make build` or `cargo build --bins`",
            path.display(),
            newer.display()
        );
    }
    Ok(path)
}

/// A source in cargo's dependency file that has changed since the program was built.
fn newer_source(program: &Path) -> Result<Option<PathBuf>> {
    let list = program.with_extension("d");
    if !list.is_file() {
        // An installed program has no dependency file and no sources.
        return Ok(None);
    }
    let text = std::fs::read_to_string(&list).with_context(|| format!("reading {}", list.display()))?;
    let built = modified(program)?;
    for source in sources(&text) {
        ensure!(
            source.is_file(),
            "{}, a source of {}, is not there any more",
            source.display(),
            program.display()
        );
        if modified(&source)? > built {
            return Ok(Some(source));
        }
    }
    Ok(None)
}

fn modified(path: &Path) -> Result<SystemTime> {
    std::fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .with_context(|| format!("reading when {} changed", path.display()))
}

/// Parses the right-hand side of a dependency file; spaces in names are escaped.
fn sources(text: &str) -> Vec<PathBuf> {
    let Some((_, list)) = text.lines().find_map(|line| line.split_once(": ")) else {
        return Vec::new();
    };
    list.replace("\\ ", "\0")
        .split_whitespace()
        .map(|name| PathBuf::from(name.replace('\0', " ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_program_older_than_a_source_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("a source.rs");
        let program = folder.path().join("program");
        for path in [&source, &program] {
            std::fs::write(path, "").unwrap();
        }
        let escaped = source.display().to_string().replace(' ', "\\ ");
        std::fs::write(
            program.with_extension("d"),
            format!("{}: {escaped}\n", program.display()),
        )
        .unwrap();
        let later = SystemTime::now() + Duration::from_secs(60);
        let set = |path: &Path| {
            std::fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(later)
                .unwrap();
        };

        set(&source);
        assert_eq!(newer_source(&program).unwrap(), Some(source));
        set(&program);
        assert_eq!(newer_source(&program).unwrap(), None);
    }
}
