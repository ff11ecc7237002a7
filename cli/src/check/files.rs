//! Finds and reads files.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Maximum size of a file in bytes. The API server limits a resource to about 1.5 MiB.
const LIMIT: u64 = 64 * 1024 * 1024;

/// A source of manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

/// The files for the given names. `-` means standard input; a directory means the manifests in it, sorted by name.
pub fn inputs(names: &[PathBuf]) -> impl Iterator<Item = (PathBuf, io::Result<Input>)> {
    let mut open: VecDeque<(PathBuf, bool)> = names.iter().map(|name| (name.clone(), true)).collect();
    let mut stdin_is_read = false;
    std::iter::from_fn(move || {
        while let Some((path, is_named)) = open.pop_front() {
            if is_named && path.as_os_str() == "-" {
                if !std::mem::replace(&mut stdin_is_read, true) {
                    return Some((PathBuf::from("<stdin>"), Ok(Input::Stdin)));
                }
                continue;
            }
            // Links to directories inside a directory are not followed, because they could be a loop.
            let is_directory = if is_named {
                path.is_dir()
            } else {
                path.is_dir() && !path.is_symlink()
            };
            if is_directory {
                match entries(&path) {
                    Ok(entries) => entries
                        .into_iter()
                        .rev()
                        .for_each(|entry| open.push_front((entry, false))),
                    Err(error) => return Some((path, Err(error))),
                }
            } else if is_named || (has_manifest_extension(&path) && is_regular_or_missing(&path)) {
                return Some((path.clone(), Ok(Input::File(path))));
            }
        }
        None
    })
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<PathBuf>>>()?;
    entries.retain(|entry| entry.file_name().is_some_and(|name| name != ".git"));
    entries.sort();
    Ok(entries)
}

fn has_manifest_extension(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}

/// Excludes links to directories, pipes and devices. A dangling link is included, so that reading it reports an error.
fn is_regular_or_missing(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |metadata| metadata.is_file())
}

/// Reads an input.
///
/// # Errors
/// It cannot be read, is not UTF-8, or is larger than 64 MiB.
pub fn read(input: &Input) -> io::Result<String> {
    let reader: Box<dyn Read> = match input {
        Input::Stdin => Box::new(io::stdin().lock()),
        Input::File(path) => Box::new(fs::File::open(path)?),
    };
    let mut bytes = Vec::new();
    reader.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {} MiB", LIMIT / 1024 / 1024),
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..offset].split(|byte| *byte == b'\n').count();
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("not UTF-8 text (line {line}); if it is a manifest, save it as UTF-8"),
        )
    })
}
