//! The version of an image's `python3`, from the file names in its layers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;

use tar::EntryType;

use crate::layer::{self, Budget, Entry, Hidden};

/// Default search path.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Maximum number of links.
const MAX_LINKS: usize = 1_000_000;
/// Maximum number of links in a path, as in the kernel.
const MAX_HOPS: usize = 40;

/// The files that matter for `python3`.
#[derive(Default)]
struct Files {
    links: BTreeMap<String, String>,
    files: BTreeSet<String>,
}

/// The version of the first `python3` in the search path, such as `3.11`. `None` if there is none or a layer cannot be read.
pub fn find(layers: &[PathBuf], search: &str) -> Option<String> {
    let mut names = Files::default();
    let mut budget = Budget::default();
    for layer in layers {
        let layer = File::open(layer).ok()?;
        layer::read(layer, &mut budget, &mut |entry| {
            names.add(&entry);
            names.links.len() <= MAX_LINKS
        })?;
    }
    search
        .split(':')
        .filter(|folder| folder.starts_with('/'))
        .find_map(|folder| names.resolve(&format!("{folder}/python3")))
        .and_then(|path| names.version(&path))
}

impl Files {
    fn add(&mut self, entry: &Entry) {
        if let Some(hidden) = entry.hidden() {
            return self.remove(&hidden);
        }
        let path = entry.path.as_str();
        match (entry.kind, &entry.target) {
            (EntryType::Symlink, Some(target)) => {
                self.files.remove(path);
                self.links.insert(path.to_owned(), target.clone());
            }
            (EntryType::Link, Some(target)) => {
                self.files.remove(path);
                self.links
                    .insert(path.to_owned(), format!("/{}", target.trim_start_matches(['/', '.'])));
            }
            (EntryType::Directory, _) => {
                self.links.remove(path);
            }
            _ => {
                self.links.remove(path);
                if is_python_file(path) {
                    self.files.insert(path.to_owned());
                }
            }
        }
    }

    /// Removes what a layer hides: the path, unless it is an opaque folder, and everything below.
    fn remove(&mut self, hidden: &Hidden) {
        let (Hidden::Path(path) | Hidden::Below(path)) = hidden;
        if matches!(hidden, Hidden::Path(_)) {
            self.links.remove(path);
            self.files.remove(path);
        }
        let below = format!("{path}/");
        let is_below = |name: &&String| name.starts_with(&below);
        let links: Vec<_> = self
            .links
            .range(below.clone()..)
            .map(|(name, _)| name)
            .take_while(is_below)
            .cloned()
            .collect();
        let files: Vec<_> = self
            .files
            .range(below.clone()..)
            .take_while(is_below)
            .cloned()
            .collect();
        for link in links {
            self.links.remove(&link);
        }
        for file in files {
            self.files.remove(&file);
        }
    }

    /// Resolves links. `None` if no file is at the end.
    fn resolve(&self, path: &str) -> Option<String> {
        let mut pending: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut at = String::new();
        let mut hops = 0;
        while let Some(part) = pending.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    at.truncate(at.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let next = format!("{at}/{part}");
            match self.links.get(&next) {
                Some(target) => {
                    hops += 1;
                    if hops > MAX_HOPS {
                        return None;
                    }
                    if target.starts_with('/') {
                        at.clear();
                    }
                    pending.extend(target.split('/').rev().map(str::to_owned));
                }
                None => at = next,
            }
        }
        self.files.contains(&at).then_some(at)
    }

    /// The version from a program's name, or from the library next to it.
    fn version(&self, program: &str) -> Option<String> {
        let (folder, name) = program.rsplit_once('/')?;
        if let Some(version) = name.strip_prefix("python").and_then(super::version) {
            return Some(version);
        }
        let prefix = folder.rsplit_once('/')?.0;
        let library = format!("{prefix}/lib/python3.");
        let mut found = self
            .files
            .range(library.clone()..)
            .map_while(|path| path.strip_prefix(&library));
        found.find_map(|rest| super::version(&format!("3.{}", rest.split('/').next()?)))
    }
}

/// Whether a file may be Python or the library that shows its version.
fn is_python_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.starts_with("python") || (name == "os.py" && path.contains("/lib/python3."))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, Header};

    use super::*;

    /// A layer of `name` (a file), `name -> target` and `name = target` (a hard link).
    fn layer(folder: &Path, name: &str, entries: &[&str], is_packed: bool) -> PathBuf {
        let mut builder = Builder::new(Vec::new());
        for entry in entries {
            let mut header = Header::new_ustar();
            header.set_mode(0o755);
            if let Some((name, target)) = entry.split_once(" -> ") {
                header.set_entry_type(EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, name, target).unwrap();
            } else if let Some((name, target)) = entry.split_once(" = ") {
                header.set_entry_type(EntryType::Link);
                header.set_size(0);
                builder.append_link(&mut header, name, target).unwrap();
            } else {
                header.set_size(3);
                builder.append_data(&mut header, entry, &b"abc"[..]).unwrap();
            }
        }
        let bytes = builder.into_inner().unwrap();
        let path = folder.join(name);
        let mut file = File::create(&path).unwrap();
        if is_packed {
            let mut packer = GzEncoder::new(file, Compression::fast());
            packer.write_all(&bytes).unwrap();
            packer.finish().unwrap();
        } else {
            file.write_all(&bytes).unwrap();
        }
        path
    }

    fn found(layers: &[&[&str]], search: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<_> = layers
            .iter()
            .enumerate()
            .map(|(n, entries)| layer(folder.path(), &n.to_string(), entries, n % 2 == 0))
            .collect();
        find(&paths, search)
    }

    #[test]
    fn finds_python_in_usual_layouts() {
        let usual: &[&[&str]] = &[&["usr/bin/python3.9", "usr/bin/python3 -> python3.9", "bin -> usr/bin"]];
        assert_eq!(found(usual, PATH).as_deref(), Some("3.9"));
        assert_eq!(found(usual, "/bin").as_deref(), Some("3.9"));
        let environment: &[&[&str]] = &[
            usual[0],
            &[
                "opt/app-root/bin/python3 -> python3.11",
                "opt/app-root/bin/python3.11 -> /usr/local/bin/python3.11",
            ],
            &["./usr/local/bin/python3.11"],
        ];
        assert_eq!(
            found(environment, "/opt/app-root/bin:/usr/bin").as_deref(),
            Some("3.11")
        );
        let hard: &[&[&str]] = &[&[
            "usr/bin/python3.6m",
            "usr/bin/python3.12",
            "usr/bin/python3 = usr/bin/python3.12",
        ]];
        assert_eq!(found(hard, PATH).as_deref(), Some("3.12"));
        let plain: &[&[&str]] = &[&["opt/bin/python3", "opt/lib/python3.10/os.py"]];
        assert_eq!(found(plain, "/opt/bin").as_deref(), Some("3.10"));
    }

    #[test]
    fn later_layers_override_earlier_ones() {
        let hidden: &[&[&str]] = &[
            &["usr/bin/python3.9", "usr/bin/python3 -> python3.9"],
            &["usr/bin/.wh.python3"],
        ];
        assert_eq!(found(hidden, PATH), None);
        let replaced: &[&[&str]] = &[
            &["usr/bin/python3.9", "usr/bin/python3 -> python3.9"],
            &["usr/bin/python3.12", "usr/bin/python3 -> python3.12"],
        ];
        assert_eq!(found(replaced, PATH).as_deref(), Some("3.12"));
        let opaque: &[&[&str]] = &[
            &["usr/bin/python3.9", "usr/bin/python3 -> python3.9"],
            &["usr/bin/.wh..wh..opq"],
        ];
        assert_eq!(found(opaque, PATH), None);
    }

    #[test]
    fn malformed_layers_have_no_python() {
        assert_eq!(found(&[&["a -> b", "b -> a", "usr/bin/python3 -> /a/x"]], PATH), None);
        assert_eq!(
            found(&[&["usr/bin/python3 -> ../../../../../etc/python3.99999999999"]], PATH),
            None
        );
        let folder = tempfile::tempdir().unwrap();
        let torn = folder.path().join("torn");
        std::fs::write(&torn, b"\x1f\x8bnonsense").unwrap();
        assert_eq!(find(&[torn], PATH), None);
        assert_eq!(find(&[folder.path().join("none")], PATH), None);
    }
}
