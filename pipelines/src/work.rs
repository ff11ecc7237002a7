//! The volume that the tasks of a run share: what lies where, and how it is read.
//!
//! Tasks that ran what a user wrote have written to it, so whatever is read from it is hostile: links are not followed, and
//! nothing is read further than its bound.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Arguments of the subcommands that work on the volume.
#[derive(Clone, Debug, clap::Args)]
pub struct WorkArgs {
    /// Folder that the tasks of a run share
    #[arg(long, value_name = "FOLDER")]
    pub work: PathBuf,
}

impl WorkArgs {
    /// The folder of the source: the canonical form of a package list, or a repository's files.
    pub fn source(&self) -> PathBuf {
        self.work.join("source")
    }

    /// The folder of what `prepare` adds to a repository that does not say itself how to build it.
    pub fn recipe(&self) -> PathBuf {
        self.work.join("recipe")
    }

    /// The OCI layout of the image to build on.
    pub fn base(&self) -> PathBuf {
        self.work.join("base")
    }

    /// The OCI layout of the image that was built.
    pub fn image(&self) -> PathBuf {
        self.work.join("image")
    }
}

/// The argument for a folder that need not be there: Tekton puts nothing where an optional workspace is not bound.
pub fn optional_folder(text: &str) -> Result<PathBuf, std::convert::Infallible> {
    Ok(PathBuf::from(text))
}

/// A temporary folder for what nobody else is to see; it goes with the step.
pub fn scratch() -> Result<tempfile::TempDir, Failure> {
    tempfile::Builder::new()
        .prefix("cnbi-")
        .tempdir()
        .map_err(|error| Failure::unforeseen(format!("making a temporary folder: {error}")))
}

/// Makes the folder anew, empty.
pub fn renew(folder: &Path) -> Result<(), Failure> {
    let renew = || {
        match fs::symlink_metadata(folder) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(folder)?,
            Ok(_) => fs::remove_file(folder)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        fs::create_dir_all(folder)
    };
    renew().map_err(|error| Failure::unforeseen(format!("making the folder {}: {error}", folder.display())))
}

/// Opens a regular file in a folder, and no link; `None` where there is none. `name` has no slash in it.
pub fn open(folder: &Path, name: &str) -> io::Result<Option<fs::File>> {
    match fs::symlink_metadata(folder) {
        Ok(metadata) if metadata.is_dir() => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(_) => return Err(io::Error::other("its folder is none")),
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
        Err(io::Error::other("it is no regular file"))
    }
}

/// Reads a regular file of at most `most` bytes; `None` where there is none.
pub fn read(folder: &Path, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open(folder, name)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_within_bounds_are_read() {
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
    fn a_folder_is_renewed_even_where_a_link_lies() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "x").unwrap();
        let path = folder.path().join("source");
        std::os::unix::fs::symlink(outside.path(), &path).unwrap();
        renew(&path).unwrap();
        assert!(path.symlink_metadata().unwrap().is_dir());
        assert!(outside.path().join("kept").exists());
    }
}
