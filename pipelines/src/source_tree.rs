//! Checks the untrusted files of a repository without following links.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use cnbi_shared::verdict::printable;

/// Maximum number of files and folders.
const ENTRIES: usize = 200_000;
/// Maximum depth of folders.
const DEPTH: usize = 100;

/// Why a repository is rejected: one sentence each, without a full stop.
#[derive(Debug, thiserror::Error)]
pub enum SourceTreeError {
    /// Too large.
    #[error("the repository has more than {0}")]
    TooMuch(String),
    /// A link that leads out of the repository.
    #[error("the link {0} leads out of the repository; remove it or use a relative target inside")]
    LeadsOut(String),
    /// A name with control characters or invalid UTF-8, which logs and Containerfiles cannot contain.
    #[error("the file name {0} contains control characters or is not UTF-8; rename the file")]
    Name(String),
    /// A device, socket or pipe.
    #[error("{0} is not a file, folder or link")]
    Special(String),
    /// An I/O error.
    #[error("cannot read {0}: {1}")]
    Io(String, io::Error),
}

/// Checks the total size of a folder, in bytes. Files that are removed meanwhile are skipped.
pub fn within(folder: &Path, most: u64) -> Result<(), SourceTreeError> {
    let mut total: u64 = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                total = total.saturating_add(metadata.len());
            }
        }
        if total > most {
            return Err(SourceTreeError::TooMuch(format!("{} MiB", most >> 20)));
        }
    }
    Ok(())
}

/// Checks all links, file names, sizes and the depth of a repository. `most` is the maximum total size in bytes.
pub fn check(root: &Path, most: u64) -> Result<(), SourceTreeError> {
    let mut total: u64 = 0;
    let mut entries = 0;
    let mut folders = vec![(PathBuf::new(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let io = |error| SourceTreeError::Io(shown(&folder), error);
        for entry in fs::read_dir(root.join(&folder)).map_err(io)? {
            let entry = entry.map_err(io)?;
            let path = folder.join(entry.file_name());
            entries += 1;
            if entries > ENTRIES {
                return Err(SourceTreeError::TooMuch(format!("{ENTRIES} files and folders")));
            }
            if path.to_str().is_none_or(|name| name.contains(char::is_control)) {
                return Err(SourceTreeError::Name(shown(&path)));
            }
            let metadata = entry.metadata().map_err(io)?;
            let kind = metadata.file_type();
            if kind.is_dir() {
                if depth == DEPTH {
                    return Err(SourceTreeError::TooMuch(format!("{DEPTH} levels of folders")));
                }
                folders.push((path, depth + 1));
            } else if kind.is_symlink() {
                let target = fs::read_link(entry.path()).map_err(io)?;
                if !stays(&folder, &target) {
                    return Err(SourceTreeError::LeadsOut(shown(&path)));
                }
            } else if kind.is_file() {
                total = total.saturating_add(metadata.len());
            } else {
                return Err(SourceTreeError::Special(shown(&path)));
            }
        }
        if total > most {
            return Err(SourceTreeError::TooMuch(format!("{} MiB", most >> 20)));
        }
    }
    Ok(())
}

/// Whether a link in `folder` stays in the repository, judged by its text: `..` is only accepted at the beginning and not more often than
/// the folder is deep. After a name, the result would depend on where that name leads.
fn stays(folder: &Path, target: &Path) -> bool {
    let mut depth = folder.components().count();
    let mut is_named = false;
    target.components().all(|component| match component {
        Component::Normal(_) => {
            is_named = true;
            true
        }
        Component::CurDir => true,
        Component::ParentDir if is_named || depth == 0 => false,
        Component::ParentDir => {
            depth -= 1;
            true
        }
        Component::RootDir | Component::Prefix(_) => false,
    })
}

fn shown(path: &Path) -> String {
    format!("\"{}\"", printable(&path.to_string_lossy(), 120))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn result(write: impl FnOnce(&Path)) -> String {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/file"), "12345").unwrap();
        write(folder.path());
        check(folder.path(), 1 << 20).map_or_else(|error| error.to_string(), |()| "accepted".to_owned())
    }

    #[test]
    fn links_inside_the_repository_are_accepted() {
        assert_eq!(result(|_| {}), "accepted");
        assert_eq!(
            result(|root| symlink("../a/file", root.join("a/link")).unwrap()),
            "accepted"
        );
        assert_eq!(
            result(|root| symlink("a/none", root.join("dangling")).unwrap()),
            "accepted"
        );
    }

    #[test]
    fn links_out_of_the_repository_are_rejected() {
        for target in ["/etc/passwd", "..", "../x", "a/../../x", "./../a", "here/here/../../x"] {
            assert_eq!(
                result(|root| symlink(target, root.join("link")).unwrap()),
                "the link \"link\" leads out of the repository; remove it or use a relative target inside",
                "{target}"
            );
        }
    }

    #[test]
    fn names_sizes_and_depth_are_limited() {
        let name = |name: &'static [u8]| result(|root| fs::write(root.join(OsStr::from_bytes(name)), "").unwrap());
        assert!(name(b"a\nb").starts_with("the file name \"a\\nb\" contains control"));
        assert!(name(b"\xff").contains("not UTF-8"));
        assert_eq!(
            result(|root| fs::File::create(root.join("big")).unwrap().set_len(2 << 20).unwrap()),
            "the repository has more than 1 MiB"
        );
        assert!(
            result(|root| fs::create_dir_all(root.join("d/".repeat(102))).unwrap()).contains("100 levels of folders")
        );
    }
}
