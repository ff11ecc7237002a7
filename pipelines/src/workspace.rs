//! The shared volume of a run (Tekton workspace `work`).
//!
//! Tasks that run user code can write to it, so its content is untrusted: links are not followed and reads are limited.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::StepError;

/// Arguments of subcommands that use the workspace.
#[derive(Clone, Debug, clap::Args)]
pub struct WorkspaceArgs {
    /// Shared folder of the run's tasks (Tekton workspace `work`)
    #[arg(long, value_name = "FOLDER")]
    pub work: PathBuf,
}

impl WorkspaceArgs {
    /// Source: the canonical form of a package list, or the files of a repository.
    pub fn source(&self) -> PathBuf {
        self.work.join("source")
    }

    /// Files that `prepare` generates for a repository without a Containerfile.
    pub fn recipe(&self) -> PathBuf {
        self.work.join("recipe")
    }

    /// OCI layout of the base image.
    pub fn base(&self) -> PathBuf {
        self.work.join("base")
    }

    /// OCI layout of the built image.
    pub fn image(&self) -> PathBuf {
        self.work.join("image")
    }
}

/// Parses the folder of an optional workspace. Tekton passes an empty text if it is not bound.
pub fn optional_folder(text: &str) -> Result<PathBuf, std::convert::Infallible> {
    Ok(PathBuf::from(text))
}

/// Creates a private temporary folder, removed when dropped.
pub fn scratch() -> Result<tempfile::TempDir, StepError> {
    tempfile::Builder::new()
        .prefix("cnbi-")
        .tempdir()
        .map_err(|error| StepError::other(format!("cannot create a temporary folder: {error}")))
}

/// Empties or creates a folder.
pub fn recreate(folder: &Path) -> Result<(), StepError> {
    let recreate = || {
        match fs::symlink_metadata(folder) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(folder)?,
            Ok(_) => fs::remove_file(folder)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        fs::create_dir_all(folder)
    };
    recreate().map_err(|error| StepError::other(format!("cannot create the folder {}: {error}", folder.display())))
}

/// Opens a regular file without following links; `None` if it does not exist. `name` must not contain a slash.
pub fn open(folder: &Path, name: &str) -> io::Result<Option<fs::File>> {
    match fs::symlink_metadata(folder) {
        Ok(metadata) if metadata.is_dir() => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(_) => return Err(io::Error::other("the parent is not a folder")),
    }
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).map_err(io::Error::other)?)
        .open(folder.join(name));
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    if file.metadata()?.is_file() {
        Ok(Some(file))
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

/// Reads a regular file of at most `limit` bytes; `None` if it does not exist.
pub fn read(folder: &Path, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open(folder, name)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("more than {limit} bytes")));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::write(path.join("file"), "12345").unwrap();
        std::os::unix::fs::symlink("file", path.join("link")).unwrap();
        fs::create_dir(path.join("folder")).unwrap();
        assert_eq!(read(path, "file", 5).unwrap().as_deref(), Some(&b"12345"[..]));
        assert_eq!(read(path, "none", 5).unwrap(), None);
        assert!(
            read(path, "file", 4)
                .unwrap_err()
                .to_string()
                .contains("more than 4 bytes")
        );
        read(path, "link", 5).unwrap_err();
        assert!(read(path, "folder", 5).is_err());
    }

    #[test]
    fn recreate_replaces_a_link_without_following_it() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "x").unwrap();
        let path = folder.path().join("source");
        std::os::unix::fs::symlink(outside.path(), &path).unwrap();
        recreate(&path).unwrap();
        assert!(path.symlink_metadata().unwrap().is_dir());
        assert!(outside.path().join("kept").exists());
    }
}
