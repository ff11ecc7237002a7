//! The canonical form of a package list: three files and a commit. Author, date and message are fixed, so that equal files have equal commit
//! ids.

use std::fs;
use std::path::Path;

use crate::error::StepError;
use crate::git::{Git, GitError};
use crate::workspace;

/// The user's requirements.
pub const REQUIREMENTS: &str = "requirements.in";
/// The lock file.
pub const LOCK: &str = "requirements.txt";
/// The build instructions.
pub const CONTAINERFILE: &str = "Containerfile";

/// Maximum size of a file, in bytes.
const MOST: u64 = 16 << 20;
/// 1 January 2000, 00:00 UTC: a fixed date.
const DATE: &str = "946684800 +0000";
const AUTHOR: &str = "CNBi";
const ADDRESS: &str = "cnbi@meteor.zone";
const MESSAGE: &str = "Record the packages of a notebook image

requirements.in is what was asked for, requirements.txt is its lock, and the Containerfile
builds the image. CNBi writes all three anew with every build.
";

/// The three files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    /// [`REQUIREMENTS`]
    pub requirements: String,
    /// [`LOCK`]
    pub lock: String,
    /// [`CONTAINERFILE`]
    pub containerfile: String,
}

impl Canonical {
    fn files(&self) -> [(&'static str, &str); 3] {
        // Sorted as in a Git tree.
        [
            (CONTAINERFILE, &self.containerfile),
            (REQUIREMENTS, &self.requirements),
            (LOCK, &self.lock),
        ]
    }

    /// Writes the files into a folder.
    pub fn write(&self, folder: &Path) -> Result<(), StepError> {
        for (name, text) in self.files() {
            fs::write(folder.join(name), text)
                .map_err(|error| StepError::other(format!("cannot write {name}: {error}")))?;
        }
        Ok(())
    }

    /// Reads the files that an untrusted task has written.
    pub fn read(folder: &Path) -> Result<Self, StepError> {
        let text = |name: &str| {
            let unreadable = |what: &str| StepError::other(format!("{name} in the prepared source {what}"));
            let bytes = workspace::read(folder, name, MOST)
                .map_err(|error| unreadable(&format!("cannot be read: {error}")))?
                .ok_or_else(|| unreadable("is missing"))?;
            String::from_utf8(bytes).map_err(|_| unreadable("is not UTF-8"))
        };
        Ok(Self {
            requirements: text(REQUIREMENTS)?,
            lock: text(LOCK)?,
            containerfile: text(CONTAINERFILE)?,
        })
    }

    /// Creates a repository with one commit on `branch`. The commit id depends only on the files.
    pub fn commit(&self, git: &Git, branch: &str) -> Result<String, GitError> {
        let head = format!("--initial-branch={branch}");
        git.run(&["init", "--quiet", "--template=", "--object-format=sha1", &head])?;
        let mut tree = String::new();
        for (name, text) in self.files() {
            let blob = git.feed(
                &["hash-object", "-w", "-t", "blob", "--no-filters", "--stdin"],
                text.as_bytes(),
            )?;
            tree = format!("{tree}100644 blob {blob}\t{name}\n");
        }
        let tree = git.feed(&["mktree"], tree.as_bytes())?;
        let commit = git
            .clone()
            .with("GIT_AUTHOR_NAME", AUTHOR)
            .with("GIT_AUTHOR_EMAIL", ADDRESS)
            .with("GIT_AUTHOR_DATE", DATE)
            .with("GIT_COMMITTER_NAME", AUTHOR)
            .with("GIT_COMMITTER_EMAIL", ADDRESS)
            .with("GIT_COMMITTER_DATE", DATE)
            .feed(&["commit-tree", "--no-gpg-sign", &tree], MESSAGE.as_bytes())?;
        git.run(&["update-ref", &format!("refs/heads/{branch}"), &commit])?;
        git.run(&["read-tree", &commit])?;
        Ok(commit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Canonical {
        Canonical {
            requirements: "pandas\n".to_owned(),
            lock: "pandas==2.2.2 --hash=sha256:0\n".to_owned(),
            containerfile: "FROM scratch\n".to_owned(),
        }
    }

    fn commit(canonical: &Canonical) -> String {
        let folder = tempfile::tempdir().unwrap();
        let home = tempfile::tempdir().unwrap();
        canonical.write(folder.path()).unwrap();
        assert_eq!(&Canonical::read(folder.path()).unwrap(), canonical);
        let git = Git::local(folder.path(), home.path());
        let commit = canonical.commit(&git, "main").unwrap();
        assert_eq!(git.run(&["status", "--porcelain"]).unwrap(), "");
        assert_eq!(git.run(&["rev-parse", "HEAD"]).unwrap(), commit);
        commit
    }

    #[test]
    fn equal_files_have_equal_commit_ids() {
        // A change of this id changes the commits of all users.
        assert_eq!(commit(&example()), "c1a376299daa85ebd34622c59859148bd186f76d");
        let other = Canonical {
            lock: "pandas==2.2.3 --hash=sha256:1\n".to_owned(),
            ..example()
        };
        assert_ne!(commit(&other), commit(&example()));
    }

    #[test]
    fn links_in_the_source_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        example().write(folder.path()).unwrap();
        fs::remove_file(folder.path().join(LOCK)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join(LOCK)).unwrap();
        let failure = Canonical::read(folder.path()).unwrap_err();
        assert!(
            failure
                .message
                .starts_with("requirements.txt in the prepared source cannot be read")
        );
    }
}
