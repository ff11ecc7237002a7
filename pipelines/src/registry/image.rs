//! Resolves image references to digest, manifest and configuration for one platform.

use std::collections::BTreeMap;

use cnbi_shared::verdict::printable;
use futures::TryStreamExt as _;
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use oci_client::{Reference, RegistryOperation};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{MAX_DOCUMENT, Registry, RegistryError};

/// Maximum number of layers. Container runtimes support 127.
const MAX_LAYERS: usize = 256;

/// An OCI content descriptor.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type.
    #[serde(default)]
    pub media_type: String,
    /// Digest.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
    /// Platform, in an index.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// Annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Other locations of the blob; not supported.
    #[serde(default)]
    pub urls: Option<serde_json::Value>,
}

/// A platform, with Go's names.
#[derive(Clone, Debug, Deserialize)]
pub struct Platform {
    /// Such as `linux`.
    pub os: String,
    /// Such as `amd64`.
    pub architecture: String,
}

/// A manifest or an index.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Media type; older registries omit it.
    #[serde(default)]
    pub media_type: String,
    /// Manifests of an index.
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
    /// Configuration of an image.
    pub config: Option<Descriptor>,
    /// Layers of an image.
    #[serde(default)]
    pub layers: Vec<Descriptor>,
}

/// The used part of an image configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Configuration {
    /// Such as `linux`.
    pub os: String,
    /// Such as `amd64`.
    pub architecture: String,
    /// Configuration of containers.
    pub config: Option<ContainerConfig>,
    /// Time of creation: should be RFC 3339.
    pub created: Option<serde_json::Value>,
}

/// Configuration of containers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// User, with or without group. Empty: root.
    pub user: Option<String>,
    /// Environment, as `NAME=value`.
    pub env: Option<Vec<String>>,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Entrypoint: should be a list of strings.
    pub entrypoint: Option<serde_json::Value>,
    /// Arguments: should be a list of strings.
    pub cmd: Option<serde_json::Value>,
}

/// A manifest with its bytes.
#[derive(Clone, Debug)]
pub struct FetchedManifest {
    /// Digest.
    pub digest: String,
    /// Bytes.
    pub bytes: Vec<u8>,
    /// Parsed manifest.
    pub manifest: Manifest,
}

/// An image for one platform.
#[derive(Clone, Debug)]
pub struct ResolvedImage {
    /// Digest of the reference: of the index if it is one.
    pub digest: String,
    /// Manifest for the platform.
    pub image: FetchedManifest,
    /// Image configuration.
    pub configuration: Configuration,
    /// Image configuration as bytes.
    pub configuration_bytes: Vec<u8>,
}

impl Configuration {
    /// Parses a configuration.
    pub fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

impl ResolvedImage {
    /// Size of all layers as stored in the registry, in bytes.
    pub fn size(&self) -> u64 {
        let sizes = self.image.manifest.layers.iter().map(|layer| layer.size);
        sizes.fold(0, u64::saturating_add)
    }

    /// Labels.
    pub fn labels(&self) -> impl Iterator<Item = (&String, &String)> {
        let config = self.configuration.config.as_ref();
        config.and_then(|config| config.labels.as_ref()).into_iter().flatten()
    }
}

/// The processor architecture of this program, with Go's names.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

impl Registry {
    /// Resolves a reference for Linux on the given architecture.
    pub async fn resolve(&self, reference: &Reference, architecture: &str) -> Result<ResolvedImage, RegistryError> {
        self.authenticate(reference, RegistryOperation::Pull).await?;
        let mut image = self.manifest(reference).await?;
        let digest = image.digest.clone();
        if image.manifest.config.is_none() {
            let entries = image.manifest.manifests.iter();
            let mut fitting = entries.filter(|entry| {
                let platform = entry.platform.as_ref();
                platform.is_some_and(|platform| platform.os == "linux" && platform.architecture == architecture)
            });
            let Some(entry) = fitting.next() else {
                return Err(RegistryError::InvalidResponse(format!(
                    "the image has no variant for linux/{architecture}"
                )));
            };
            image = self
                .manifest(&reference.clone_with_digest(entry.digest.clone()))
                .await?;
        }
        let Some(config) = image.manifest.config.clone() else {
            return Err(RegistryError::InvalidResponse(
                "an index inside an index is not supported".to_owned(),
            ));
        };
        let configuration_bytes = self.document(reference, &config).await?;
        let configuration: Configuration = parsed(&configuration_bytes)?;
        if configuration.os != "linux" || configuration.architecture != architecture {
            let (os, of) = (
                printable(&configuration.os, 20),
                printable(&configuration.architecture, 20),
            );
            return Err(RegistryError::InvalidResponse(format!(
                "the image is for {os}/{of}, not linux/{architecture}"
            )));
        }
        Ok(ResolvedImage {
            digest,
            image,
            configuration,
            configuration_bytes,
        })
    }

    /// Fetches a manifest or index. Verified if the reference has a digest.
    pub async fn manifest(&self, reference: &Reference) -> Result<FetchedManifest, RegistryError> {
        let types = [
            OCI_IMAGE_MEDIA_TYPE,
            OCI_IMAGE_INDEX_MEDIA_TYPE,
            IMAGE_MANIFEST_MEDIA_TYPE,
            IMAGE_MANIFEST_LIST_MEDIA_TYPE,
        ];
        let (bytes, digest) = self.client.pull_manifest_raw(reference, &self.auth, &types).await?;
        if bytes.len() > MAX_DOCUMENT {
            return Err(RegistryError::InvalidResponse(format!(
                "a manifest has {} bytes",
                bytes.len()
            )));
        }
        let manifest: Manifest = parsed(&bytes)?;
        if manifest.layers.len() > MAX_LAYERS || manifest.manifests.len() > MAX_LAYERS {
            return Err(RegistryError::InvalidResponse(format!(
                "the image has more than {MAX_LAYERS} layers or platforms"
            )));
        }
        Ok(FetchedManifest {
            digest,
            bytes: bytes.to_vec(),
            manifest,
        })
    }

    /// Digests of the manifests that refer to a digest, with an artifact type that starts with `kind`.
    pub async fn referrers(
        &self,
        reference: &Reference,
        digest: &str,
        kind: &str,
    ) -> Result<Vec<String>, RegistryError> {
        let subject = reference.clone_with_digest(digest.to_owned());
        let index = self.client.pull_referrers(&subject, None).await?;
        let entries = index.manifests.into_iter();
        let is_wanted = |kind_of: Option<&str>| kind_of.is_some_and(|kind_of| kind_of.starts_with(kind));
        Ok(entries
            .filter(|entry| is_wanted(entry.artifact_type.as_deref()))
            .map(|entry| entry.digest)
            .collect())
    }

    /// Fetches a small blob and verifies it.
    pub async fn document(&self, reference: &Reference, blob: &Descriptor) -> Result<Vec<u8>, RegistryError> {
        let mut stream = self.client.pull_blob_stream(reference, blob.digest.as_str()).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.stream.try_next().await.map_err(|error| stream_error(&error))? {
            if bytes.len() + chunk.len() > MAX_DOCUMENT {
                return Err(RegistryError::InvalidResponse(format!(
                    "a document is larger than {MAX_DOCUMENT} bytes"
                )));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// Classifies the error of a download: connection or wrong digest.
pub(super) fn stream_error(error: &std::io::Error) -> RegistryError {
    let is_digest = error
        .get_ref()
        .is_some_and(|source| source.to_string().to_lowercase().contains("digest"));
    if is_digest {
        RegistryError::InvalidResponse("the content from the registry does not match its digest".to_owned())
    } else {
        RegistryError::Unavailable("the registry closed the connection or was idle for too long".to_owned())
    }
}

fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RegistryError> {
    serde_json::from_slice(bytes).map_err(|error| {
        RegistryError::InvalidResponse(format!(
            "invalid response of the registry: {}",
            printable(&error.to_string(), 120)
        ))
    })
}
