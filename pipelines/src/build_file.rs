//! The file at the root of a repository that describes how to build it.

use std::path::Path;

/// The kind of build file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildFile {
    /// Containerfile or Dockerfile.
    Containerfile,
    /// pip requirements, with or without hashes.
    Requirements,
    /// Pipenv lock file.
    PipfileLock,
    /// Pipenv requirements.
    Pipfile,
    /// Project metadata (PEP 621 or Poetry).
    Project,
    /// conda environment.
    Environment,
}

/// All build files, in order of precedence.
pub const BUILD_FILES: [(&str, BuildFile); 8] = [
    ("Containerfile", BuildFile::Containerfile),
    ("Dockerfile", BuildFile::Containerfile),
    ("requirements.txt", BuildFile::Requirements),
    ("Pipfile.lock", BuildFile::PipfileLock),
    ("Pipfile", BuildFile::Pipfile),
    ("pyproject.toml", BuildFile::Project),
    ("environment.yml", BuildFile::Environment),
    ("environment.yaml", BuildFile::Environment),
];

/// The first build file of a repository. A pyproject.toml without a project or Poetry dependencies is ignored.
pub fn detect(root: &Path) -> Option<(&'static str, BuildFile)> {
    BUILD_FILES.into_iter().find(|(name, detect)| match detect {
        BuildFile::Project => is_project(root, name),
        _ => root.join(name).is_file(),
    })
}

fn is_project(root: &Path, name: &str) -> bool {
    let Ok(Some(bytes)) = crate::workspace::read(root, name, 1 << 20) else {
        return false;
    };
    let Ok(table) = String::from_utf8_lossy(&bytes).parse::<toml::Table>() else {
        // The next reader reports the syntax error.
        return true;
    };
    let has_poetry = table
        .get("tool")
        .and_then(|tool| tool.get("poetry"))
        .is_some_and(|poetry| poetry.get("dependencies").is_some());
    table.contains_key("project") || has_poetry
}

/// Whether every requirement of a requirements file has a hash.
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
        detect(folder.path()).map(|(name, _)| name)
    }

    #[test]
    fn the_first_build_file_is_used() {
        assert_eq!(of(&[("Dockerfile", ""), ("requirements.txt", "")]), Some("Dockerfile"));
        assert_eq!(of(&[("Pipfile", ""), ("Pipfile.lock", "")]), Some("Pipfile.lock"));
        assert_eq!(
            of(&[("environment.yaml", ""), ("README", "")]),
            Some("environment.yaml")
        );
        assert_eq!(of(&[("README", "")]), None);
    }

    #[test]
    fn pyproject_without_metadata_is_ignored() {
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
    fn folders_are_not_build_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("Containerfile")).unwrap();
        assert_eq!(detect(folder.path()), None);
    }

    #[test]
    fn locked_requirements_have_hashes() {
        assert!(looks_locked(
            "--index-url https://x\na==1 \\\n  --hash=sha256:0 \\\n  --hash=sha256:1\n"
        ));
        assert!(!looks_locked("a==1 \\\n  --hash=sha256:0\nb\n"));
        assert!(!looks_locked("# nothing\n"));
    }
}
