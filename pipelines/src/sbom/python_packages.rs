//! Lists the Python packages of an image from the file names in its layers, without running it.
//!
//! A package is a folder `<name>-<version>.dist-info` with a file `METADATA` (PyPA's "Recording installed projects"). Operating system
//! packages are not listed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use cnbi_shared::grammar::requirement::normalize_name;

use crate::layer::{self, Budget, Entry, Hidden};

/// Maximum number of packages.
const MAX_PACKAGES: usize = 20_000;
/// Maximum length of a name or version, in characters.
const MAX_LENGTH: usize = 128;

/// A package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Normalized name.
    pub name: String,
    /// Version as written.
    pub version: String,
}

/// The packages in a stack of layers, lowest first. `None`: a layer is invalid or a limit is exceeded.
pub fn packages(layers: impl IntoIterator<Item = File>) -> Option<BTreeSet<Package>> {
    let mut found: BTreeMap<String, Package> = BTreeMap::new();
    let mut budget = Budget::default();
    for layer in layers {
        let (mut added, mut hidden) = (Vec::new(), Vec::new());
        layer::read(layer, &mut budget, &mut |entry| {
            hidden.extend(entry.hidden());
            added.extend(package(&entry));
            // Keeps the list of whiteouts limited.
            hidden.len() <= layer::MAX_ENTRIES / 5 && added.len() <= MAX_PACKAGES
        })?;
        // Whiteouts apply to lower layers only, in any order of entries.
        for hidden in hidden {
            remove_hidden(&mut found, &hidden);
        }
        found.extend(added);
        if found.len() > MAX_PACKAGES {
            return None;
        }
    }
    Some(found.into_values().collect())
}

/// The package of an entry, if it is a package's METADATA.
fn package(entry: &Entry) -> Option<(String, Package)> {
    let folder = entry.path.strip_suffix("/METADATA").filter(|_| !entry.kind.is_dir())?;
    let name = folder.rsplit('/').next()?.strip_suffix(".dist-info")?;
    let (name, version) = name.split_once('-')?;
    let is_plain = |text: &str, more: &str| {
        let is_fine = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        !text.is_empty() && text.len() <= MAX_LENGTH && text.chars().all(is_fine)
    };
    let package = Package {
        name: normalize_name(name).into_owned(),
        version: version.to_owned(),
    };
    (is_plain(name, "._") && is_plain(version, "._+!")).then_some((entry.path.clone(), package))
}

fn remove_hidden(found: &mut BTreeMap<String, Package>, hidden: &Hidden) {
    let (Hidden::Path(path) | Hidden::Below(path)) = hidden;
    let below = format!("{path}/");
    let gone: Vec<String> = found
        .range(below.clone()..)
        .map(|(path, _)| path)
        .take_while(|path| path.starts_with(&below))
        .cloned()
        .collect();
    for path in gone {
        found.remove(&path);
    }
    if matches!(hidden, Hidden::Path(_)) {
        found.remove(path);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, SeekFrom, Write as _};

    use tar::{Builder, Header};

    use super::*;

    fn layer(names: &[&str]) -> File {
        let mut builder = Builder::new(Vec::new());
        for name in names {
            let mut header = Header::new_ustar();
            header.set_size(0);
            builder.append_data(&mut header, name, std::io::empty()).unwrap();
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&builder.into_inner().unwrap()).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file
    }

    fn listed(layers: &[&[&str]]) -> Vec<String> {
        let found = packages(layers.iter().map(|names| layer(names))).unwrap();
        let text = |package: Package| format!("{} {}", package.name, package.version);
        found.into_iter().map(text).collect()
    }

    const SITE: &str = "usr/lib/python3.11/site-packages";

    #[test]
    fn packages_are_found_by_dist_info_folders() {
        let names = [
            format!("{SITE}/Flask_Login-0.6.3.dist-info/METADATA"),
            format!("{SITE}/torch-2.1.0+cpu.dist-info/METADATA"),
            "opt/conda/lib/python3.11/site-packages/torch-2.1.0+cpu.dist-info/METADATA".to_owned(),
            format!("{SITE}/none-1.0.dist-info/RECORD"),
            format!("{SITE}/no_version.dist-info/METADATA"),
            format!("{SITE}/a b-<script>.dist-info/METADATA"),
            format!("{SITE}/{}-1.dist-info/METADATA", "a".repeat(90)),
        ];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let long = format!("{} 1", "a".repeat(90));
        assert_eq!(
            listed(&[&names]),
            [long.as_str(), "flask-login 0.6.3", "torch 2.1.0+cpu"]
        );
    }

    #[test]
    fn whiteouts_remove_packages_of_lower_layers() {
        let of = |name: &str| format!("{SITE}/{name}.dist-info/METADATA");
        let (old, new, other) = (of("a-1.0"), of("a-2.0"), of("b-1.0"));
        let below: [&str; 2] = [&old, &other];
        let upgrade = format!("{SITE}/.wh.a-1.0.dist-info");
        assert_eq!(listed(&[&below, &[&new, &upgrade]]), ["a 2.0", "b 1.0"]);
        let opaque = format!("{SITE}/.wh..wh..opq");
        assert_eq!(listed(&[&below, &[&new, &opaque]]), ["a 2.0"]);
        let file = format!("{SITE}/a-1.0.dist-info/.wh.METADATA");
        assert_eq!(listed(&[&below, &[&file]]), ["b 1.0"]);
        // A whiteout does not hide entries of its own layer.
        let both = format!("{SITE}/.wh.b-1.0.dist-info");
        assert_eq!(listed(&[&[&old], &[&other, &both]]), ["a 1.0", "b 1.0"]);
    }

    #[test]
    fn an_invalid_layer_is_an_error() {
        let mut torn = tempfile::tempfile().unwrap();
        torn.write_all(b"\x1f\x8bnonsense").unwrap();
        torn.seek(SeekFrom::Start(0)).unwrap();
        assert_eq!(packages([torn]), None);
    }
}
