//! The canonical form of a package list: three files and their commit. The same files are the same commit, wherever and
//! whenever it is made, so author, date and message are fixed.

use std::fs;
use std::path::Path;

use crate::failure::Failure;
use crate::git::{Git, GitError};
use crate::work;

/// What was asked for.
pub const REQUIREMENTS: &str = "requirements.in";
/// Its lock.
pub const LOCK: &str = "requirements.txt";
/// How the image is built.
pub const CONTAINERFILE: &str = "Containerfile";

/// Most bytes of one of the files.
const MOST: u64 = 16 << 20;
/// Midnight before 1 January 2000: when it was made is not what a commit tells apart.
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
        // In the order of Git's trees.
        [
            (CONTAINERFILE, &self.containerfile),
            (REQUIREMENTS, &self.requirements),
            (LOCK, &self.lock),
        ]
    }

    /// Writes the files into a folder.
    pub fn write(&self, folder: &Path) -> Result<(), Failure> {
        for (name, text) in self.files() {
            fs::write(folder.join(name), text)
                .map_err(|error| Failure::unforeseen(format!("writing {name}: {error}")))?;
        }
        Ok(())
    }

    /// Reads the files of a folder that a task has left which is not trusted.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let text = |name: &str| {
            let unreadable = |what: &str| Failure::unforeseen(format!("{name} in the prepared source {what}"));
            let bytes = work::read(folder, name, MOST)
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

    /// Makes a repository in Git's folder and the commit in it, on branch `branch`. The commit's id depends on the files only.
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
    fn the_same_files_are_the_same_commit() {
        // Written down, so that an update of ours does not change the commits of all who build again.
        assert_eq!(commit(&example()), "c1a376299daa85ebd34622c59859148bd186f76d");
        let other = Canonical {
            lock: "pandas==2.2.3 --hash=sha256:1\n".to_owned(),
            ..example()
        };
        assert_ne!(commit(&other), commit(&example()));
    }

    #[test]
    fn links_among_the_files_are_not_followed() {
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
