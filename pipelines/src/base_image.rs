//! The base image in the workspace: its reference, user and Python version.
//!
//! The version comes from the file names in the layers, without running anything; if that fails, from the environment, labels or name.

mod python_version;

use std::path::Path;

use cnbi_shared::grammar::image::ImageReference;
use cnbi_shared::verdict::printable;
use serde::de::DeserializeOwned;

use crate::registry::image::{Configuration, Descriptor, Manifest};
use crate::registry::layout::{BLOBS, blob_name};
use crate::workspace;

/// Maximum size of an index, manifest or configuration, in bytes.
const DOCUMENT: u64 = 4 << 20;

/// The platform to lock for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Python version such as `3.11`.
    pub python: String,
    /// Architecture with OCI's names, such as `amd64`.
    pub architecture: String,
}

impl Target {
    /// uv's name of the platform. The oldest supported distributions have glibc 2.28.
    pub fn platform(&self) -> &'static str {
        match self.architecture.as_str() {
            "arm64" => "aarch64-manylinux_2_28",
            _ => "x86_64-manylinux_2_28",
        }
    }
}

/// A base image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseImage {
    /// Reference with the digest at the time of the download.
    pub reference: String,
    /// Digest of the manifest.
    pub digest: String,
    /// User from its configuration. Empty: root.
    pub user: String,
    /// Its Python; `None` if none was found.
    pub target: Option<Target>,
}

/// Why the base image cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the base image: {0}")]
pub struct BaseImageError(String);

/// Reads an OCI layout. `reference` is the original reference.
pub fn read(layout: &Path, reference: &ImageReference) -> Result<BaseImage, BaseImageError> {
    let index: Manifest = document(layout, "index.json")?;
    let [Descriptor { digest, .. }] = index.manifests.as_slice() else {
        return Err(BaseImageError("its index must have one manifest".to_owned()));
    };
    let manifest: Manifest = blob(layout, digest)?;
    let config = manifest
        .config
        .ok_or_else(|| BaseImageError("it has no configuration".to_owned()))?;
    let image: Configuration = blob(layout, &config.digest)?;
    let architecture = if image.architecture.is_empty() {
        "amd64".to_owned()
    } else {
        image.architecture
    };
    let config = image.config.unwrap_or_default();
    let user = config.user.unwrap_or_default();
    if !user.chars().all(|c| c.is_ascii_alphanumeric() || "_.:@+-".contains(c)) {
        return Err(BaseImageError(format!(
            "its user {:?} has characters that are not supported",
            printable(&user, 100)
        )));
    }
    let env = config.env.unwrap_or_default();
    let variable = |name: &str| env.iter().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let paths: Vec<_> = manifest
        .layers
        .iter()
        .map(|layer| Ok(layout.join(BLOBS).join(name(&layer.digest)?)))
        .collect::<Result<_, BaseImageError>>()?;
    let labels = config.labels.unwrap_or_default();
    let python = python_version::find(&paths, variable("PATH").unwrap_or(python_version::PATH))
        .or_else(|| variable("PYTHON_VERSION").and_then(version))
        .or_else(|| labels.get("name").and_then(|name| named(name)))
        .or_else(|| named(reference.as_str()));
    Ok(BaseImage {
        reference: pinned(reference, digest),
        digest: digest.clone(),
        user,
        target: python.map(|python| Target { python, architecture }),
    })
}

/// The reference with a digest and no tag: tools differ in which of the two they use.
pub fn pinned(reference: &ImageReference, digest: &str) -> String {
    let registry = reference.registry().map(|registry| format!("{registry}/"));
    let name = format!("{}{}@{digest}", registry.unwrap_or_default(), reference.repository());
    ImageReference::parse(&name).map_or(name, |pinned| pinned.qualified())
}

fn document<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<T, BaseImageError> {
    let bytes = workspace::read(folder, name, DOCUMENT)
        .map_err(|error| BaseImageError(error.to_string()))?
        .ok_or_else(|| BaseImageError(format!("{name} is missing")))?;
    serde_json::from_slice(&bytes).map_err(|error| BaseImageError(error.to_string()))
}

fn blob<T: DeserializeOwned>(layout: &Path, digest: &str) -> Result<T, BaseImageError> {
    document(&layout.join(BLOBS), name(digest)?)
}

fn name(digest: &str) -> Result<&str, BaseImageError> {
    blob_name(digest).map_err(|error| BaseImageError(error.to_string()))
}

/// `3.11` from `3.11.4`.
fn version(text: &str) -> Option<String> {
    let mut parts = text.trim().split('.');
    let (major, minor) = (parts.next()?, parts.next()?);
    let minor: u32 = minor.parse().ok()?;
    (major == "3").then(|| format!("3.{minor}"))
}

/// The version in a name such as `ubi9/python-311`, `jupyter-minimal-ubi9-python-3.11-2024b` or `s2i-minimal-py38-notebook`.
fn named(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    ["python-", "python:", "python", "py-", "py"].iter().find_map(|prefix| {
        let (_, after) = name.split_once(prefix)?;
        let minor = after.strip_prefix("3.").or_else(|| after.strip_prefix('3'))?;
        let digits: String = minor.chars().take_while(char::is_ascii_digit).collect();
        (1..=2).contains(&digits.len()).then(|| format!("3.{digits}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_parsed_from_image_names() {
        for (name, found) in [
            ("quay.io/thoth-station/s2i-minimal-py38-notebook:v0.2.2", Some("3.8")),
            (
                "quay.io/opendatahub/workbench-images:jupyter-minimal-ubi9-python-3.11-2024b",
                Some("3.11"),
            ),
            ("ubi9/python-39", Some("3.9")),
            ("docker.io/library/python:3.12-slim", Some("3.12")),
            ("quay.io/a/pytorch:v1", None),
            ("quay.io/a/b:v3", None),
        ] {
            assert_eq!(named(name).as_deref(), found, "{name}");
        }
        assert_eq!(version("3.11.4").as_deref(), Some("3.11"));
        assert_eq!(version("2.7"), None);
        assert_eq!(version("3.x"), None);
    }

    #[test]
    fn references_are_pinned_without_their_tags() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (text, name) in [
            ("quay.io/a/b:v1".to_owned(), "quay.io/a/b"),
            ("localhost:5000/b".to_owned(), "localhost:5000/b"),
            ("python:3.11".to_owned(), "docker.io/library/python"),
            (format!("quay.io/a/b:v1@sha256:{}", "2".repeat(64)), "quay.io/a/b"),
        ] {
            let reference = ImageReference::parse(&text).unwrap();
            assert_eq!(pinned(&reference, &digest), format!("{name}@{digest}"));
        }
    }
}
