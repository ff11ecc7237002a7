//! How a repository says what it needs, by the names of the files at its root.

use std::path::Path;

/// What a repository is built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It says itself how.
    Containerfile,
    /// pip's list, perhaps a lock.
    Requirements,
    /// Pipenv's lock.
    PipfileLock,
    /// Pipenv's list.
    Pipfile,
    /// A project's metadata.
    Project,
    /// conda's list.
    Environment,
}

/// The files that are looked for, in this order.
pub const KINDS: [(&str, Kind); 8] = [
    ("Containerfile", Kind::Containerfile),
    ("Dockerfile", Kind::Containerfile),
    ("requirements.txt", Kind::Requirements),
    ("Pipfile.lock", Kind::PipfileLock),
    ("Pipfile", Kind::Pipfile),
    ("pyproject.toml", Kind::Project),
    ("environment.yml", Kind::Environment),
    ("environment.yaml", Kind::Environment),
];

/// The first of the files that is there, and what it is. A pyproject.toml that only configures tools does not count.
pub fn kind(root: &Path) -> Option<(&'static str, Kind)> {
    KINDS.into_iter().find(|(name, kind)| match kind {
        Kind::Project => is_project(root, name),
        _ => root.join(name).is_file(),
    })
}

fn is_project(root: &Path, name: &str) -> bool {
    let Ok(Some(bytes)) = crate::work::read(root, name, 1 << 20) else {
        return false;
    };
    let Ok(table) = String::from_utf8_lossy(&bytes).parse::<toml::Table>() else {
        // Whoever reads it next says what is wrong with it.
        return true;
    };
    let has_poetry = table
        .get("tool")
        .and_then(|tool| tool.get("poetry"))
        .is_some_and(|poetry| poetry.get("dependencies").is_some());
    table.contains_key("project") || has_poetry
}

/// Whether a requirements file is a lock already: every requirement in it has a hash.
pub fn looks_locked(text: &str) -> bool {
    let joined = text.replace("\r\n", "\n").replace("\\\n", " ");
    let mut entries = joined
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with("--"))
        .peekable();
    entries.peek().is_some() && entries.all(|entry| entry.contains(" --hash=sha256:"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn of(files: &[(&str, &str)]) -> Option<&'static str> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        kind(folder.path()).map(|(name, _)| name)
    }

    #[test]
    fn the_first_kind_counts() {
        assert_eq!(of(&[("Dockerfile", ""), ("requirements.txt", "")]), Some("Dockerfile"));
        assert_eq!(of(&[("Pipfile", ""), ("Pipfile.lock", "")]), Some("Pipfile.lock"));
        assert_eq!(
            of(&[("environment.yaml", ""), ("README", "")]),
            Some("environment.yaml")
        );
        assert_eq!(of(&[("README", "")]), None);
    }

    #[test]
    fn a_project_has_metadata() {
        assert_eq!(of(&[("pyproject.toml", "[tool.black]\nline-length = 1\n")]), None);
        assert_eq!(
            of(&[("pyproject.toml", "[tool.black]\n"), ("environment.yml", "")]),
            Some("environment.yml")
        );
        assert_eq!(
            of(&[("pyproject.toml", "[project]\nname = 'a'\n")]),
            Some("pyproject.toml")
        );
        assert_eq!(
            of(&[("pyproject.toml", "[tool.poetry.dependencies]\n")]),
            Some("pyproject.toml")
        );
    }

    #[test]
    fn a_folder_of_that_name_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("Containerfile")).unwrap();
        assert_eq!(kind(folder.path()), None);
    }

    #[test]
    fn locks_are_known_by_their_hashes() {
        assert!(looks_locked(
            "--index-url https://x\na==1 \\\n  --hash=sha256:0 \\\n  --hash=sha256:1\n"
        ));
        assert!(!looks_locked("a==1 \\\n  --hash=sha256:0\nb\n"));
        assert!(!looks_locked("# nothing\n"));
    }
}
