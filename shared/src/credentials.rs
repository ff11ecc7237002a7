//! Which entry of a pull Secret answers for an image, by the names of the entries alone.
//!
//! Follows the kubelet's lookup (`k8s.io/kubernetes/pkg/credentialprovider/keyring.go`): an entry is a host, perhaps with a
//! scheme, a port, a path prefix and shell wildcards within each part of the host. No credential is ever seen here.

use crate::grammar::dns::split_port;
use crate::grammar::image::ImageReference;

/// Names under which Docker Hub's entry is written.
const DOCKER_HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// Whether one of the entries answers for the image.
pub fn answer_for(entries: &[String], image: &ImageReference) -> bool {
    entries.iter().any(|entry| answers_for(entry, image))
}

/// The one entry that answers best for the image: that with the longest path, and of these one without wildcards.
pub fn entry_for<'a>(entries: &'a [String], image: &ImageReference) -> Option<&'a str> {
    let path = |entry: &str| {
        let entry = entry.split_once("://").map_or(entry, |(_, rest)| rest);
        entry
            .split_once('/')
            .map_or(0, |(_, path)| path.trim_end_matches('/').len())
    };
    entries
        .iter()
        .map(String::as_str)
        .filter(|entry| answers_for(entry, image))
        .max_by_key(|entry| (path(entry), !entry.contains(['*', '?'])))
}

/// The registry's host as a person would name it; an image without one comes from Docker Hub.
pub fn registry(image: &ImageReference) -> &str {
    match image.registry() {
        None => DOCKER_HUB[0],
        Some(host) if DOCKER_HUB.contains(&host) => DOCKER_HUB[0],
        Some(host) => host,
    }
}

fn answers_for(entry: &str, image: &ImageReference) -> bool {
    let entry = entry
        .strip_prefix("https://")
        .or_else(|| entry.strip_prefix("http://"))
        .unwrap_or(entry);
    let (host, path) = entry.split_once('/').unwrap_or((entry, ""));
    // `/v1/` and `/v2/` are the registry's API and not part of any repository.
    let path = path
        .strip_prefix("v1/")
        .or_else(|| path.strip_prefix("v2/"))
        .unwrap_or(path);
    let path = if matches!(path, "v1" | "v2") { "" } else { path };
    let asked = registry(image);
    if asked == DOCKER_HUB[0] {
        return DOCKER_HUB.contains(&host) && (path.is_empty() || hub_repository(image).starts_with(path));
    }
    host_matches(host, asked) && image.repository().starts_with(path.trim_end_matches('/'))
}

/// Docker Hub keeps images without an owner under `library`.
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

/// `*` and `?` as in a shell. Runs in time proportional to the product of the lengths, whatever the pattern.
fn glob_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut retry = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                retry = Some((at, read));
            }
            Some(&wanted) if wanted == b'?' || wanted == text[read] => {
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
    fn entries_are_matched_as_the_kubelet_matches_them() {
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
            assert_eq!(answers_for(entry, &image), expected, "{entry:?} for {}", image.as_str());
        }
    }

    #[test]
    fn the_entry_that_says_most_is_chosen() {
        let image = ImageReference::parse("quay.io/thoth-station/s2i:v1").unwrap();
        for (entries, chosen) in [
            (vec!["quay.io", "quay.io/thoth-station"], Some("quay.io/thoth-station")),
            (vec!["quay.io", "*.io"], Some("quay.io")),
            (vec!["*.io", "ghcr.io"], Some("*.io")),
            (vec!["ghcr.io"], None),
        ] {
            let entries: Vec<String> = entries.into_iter().map(str::to_owned).collect();
            assert_eq!(entry_for(&entries, &image), chosen, "{entries:?}");
        }
    }

    #[test]
    fn wildcards_do_not_explode() {
        let pattern = "*a".repeat(2000);
        assert!(!glob_matches(pattern.as_bytes(), "a".repeat(1999).as_bytes()));
    }
}
