//! Selects the entry of a pull secret for an image by the keys of the entries. No credential is read here.
//!
//! Follows the kubelet (`k8s.io/kubernetes/pkg/credentialprovider/keyring.go`): a key is a host with an optional scheme, port and path
//! prefix, and shell wildcards within each part of the host.

use crate::grammar::dns::split_port;
use crate::grammar::image::ImageReference;

/// Names of Docker Hub in pull secrets.
const DOCKER_HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// Whether an entry matches the image.
pub fn any_entry_matches(entries: &[String], image: &ImageReference) -> bool {
    entries.iter().any(|entry| entry_matches(entry, image))
}

/// The best entry for the image: the one with the longest path, then the one without wildcards.
pub fn best_entry<'a>(entries: &'a [String], image: &ImageReference) -> Option<&'a str> {
    let path = |entry: &str| {
        let entry = entry.split_once("://").map_or(entry, |(_, rest)| rest);
        entry
            .split_once('/')
            .map_or(0, |(_, path)| path.trim_end_matches('/').len())
    };
    entries
        .iter()
        .map(String::as_str)
        .filter(|entry| entry_matches(entry, image))
        .max_by_key(|entry| (path(entry), !entry.contains(['*', '?'])))
}

/// The registry of the image; `docker.io` for all names of Docker Hub and for images without a registry.
pub fn registry_host(image: &ImageReference) -> &str {
    match image.registry() {
        None => DOCKER_HUB[0],
        Some(host) if DOCKER_HUB.contains(&host) => DOCKER_HUB[0],
        Some(host) => host,
    }
}

fn entry_matches(entry: &str, image: &ImageReference) -> bool {
    let entry = entry
        .strip_prefix("https://")
        .or_else(|| entry.strip_prefix("http://"))
        .unwrap_or(entry);
    let (host, path) = entry.split_once('/').unwrap_or((entry, ""));
    // `/v1/` and `/v2/` belong to the API of the registry, not to the repository.
    let path = path
        .strip_prefix("v1/")
        .or_else(|| path.strip_prefix("v2/"))
        .unwrap_or(path);
    let path = if matches!(path, "v1" | "v2") { "" } else { path };
    let host_of_image = registry_host(image);
    if host_of_image == DOCKER_HUB[0] {
        return DOCKER_HUB.contains(&host) && (path.is_empty() || hub_repository(image).starts_with(path));
    }
    host_matches(host, host_of_image) && image.repository().starts_with(path.trim_end_matches('/'))
}

/// On Docker Hub, images without an owner are in `library`.
fn hub_repository(image: &ImageReference) -> String {
    let repository = image.repository();
    if repository.contains('/') {
        repository.to_owned()
    } else {
        format!("library/{repository}")
    }
}

fn host_matches(pattern: &str, host: &str) -> bool {
    let (pattern, pattern_port) = split_port(pattern);
    let (host, port) = split_port(host);
    let parts = |text| str::split(text, '.');
    pattern_port == port
        && parts(pattern).count() == parts(host).count()
        && parts(pattern)
            .zip(parts(host))
            .all(|(pattern, part)| glob_matches(pattern.as_bytes(), part.as_bytes()))
}

/// Matches `*` and `?` as a shell does, in time proportional to the product of the lengths.
fn glob_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut retry = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                retry = Some((at, read));
            }
            Some(&expected_byte) if expected_byte == b'?' || expected_byte == text[read] => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((star, taken)) = retry else { return false };
                retry = Some((star, taken + 1));
                (at, read) = (star, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|&left| left == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_match_as_in_the_kubelet() {
        let hub = "jupyter/minimal-notebook:x";
        let quay = "quay.io/thoth-station/s2i:v1";
        let cases = [
            ("quay.io", quay, true),
            ("https://quay.io", quay, true),
            ("http://quay.io/", quay, true),
            ("https://quay.io/v2/", quay, true),
            ("quay.io/thoth-station", quay, true),
            ("quay.io/thoth-station/s2i", quay, true),
            ("quay.io/other", quay, false),
            ("*.io", quay, true),
            ("qu?y.i*", quay, true),
            ("*", quay, false),
            ("*.quay.io", quay, false),
            ("quay.io:443", quay, false),
            ("notquay.io", quay, false),
            ("", quay, false),
            ("registry.example:5000", "registry.example:5000/a/b", true),
            ("registry.example", "registry.example:5000/a/b", false),
            ("*.example:5000", "registry.example:5000/a/b", true),
            ("localhost:5000", "localhost:5000/a", true),
            ("https://index.docker.io/v1/", hub, true),
            ("docker.io", hub, true),
            ("docker.io", "docker.io/jupyter/minimal-notebook:x", true),
            ("index.docker.io/library", "python:3.12", true),
            ("docker.io/jupyter", "python:3.12", false),
            ("quay.io", hub, false),
        ];
        for (entry, image, expected) in cases {
            let image = ImageReference::parse(image).unwrap();
            assert_eq!(
                entry_matches(entry, &image),
                expected,
                "{entry:?} for {}",
                image.as_str()
            );
        }
    }

    #[test]
    fn the_most_specific_entry_is_selected() {
        let image = ImageReference::parse("quay.io/thoth-station/s2i:v1").unwrap();
        for (entries, expected) in [
            (vec!["quay.io", "quay.io/thoth-station"], Some("quay.io/thoth-station")),
            (vec!["quay.io", "*.io"], Some("quay.io")),
            (vec!["*.io", "ghcr.io"], Some("*.io")),
            (vec!["ghcr.io"], None),
        ] {
            let entries: Vec<String> = entries.into_iter().map(str::to_owned).collect();
            assert_eq!(best_entry(&entries, &image), expected, "{entries:?}");
        }
    }

    #[test]
    fn wildcards_take_quadratic_time_at_most() {
        let pattern = "*a".repeat(2000);
        assert!(!glob_matches(pattern.as_bytes(), "a".repeat(1999).as_bytes()));
    }
}
