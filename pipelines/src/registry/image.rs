//! Finds out what a reference leads to: digest, manifest for our platform, configuration.

use std::collections::BTreeMap;

use cnbi_shared::verdict::printable;
use futures::TryStreamExt as _;
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use oci_client::{Reference, RegistryOperation};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{DOCUMENT, Refusal, Registry};

/// Most layers of an image. Runtimes take 127.
const LAYERS: usize = 256;

/// What a manifest says of a blob.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// For which platform it is, in an index.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// What else is said of it.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Where else it is kept. Nobody looks there.
    #[serde(default)]
    pub urls: Option<serde_json::Value>,
}

/// A platform, by Go's names.
#[derive(Clone, Debug, Deserialize)]
pub struct Platform {
    /// Such as `linux`.
    pub os: String,
    /// Such as `amd64`.
    pub architecture: String,
}

/// A manifest, or an index of manifests.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// What it is; older registries leave it out.
    #[serde(default)]
    pub media_type: String,
    /// The manifests of an index.
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
    /// The configuration of an image.
    pub config: Option<Descriptor>,
    /// The layers of an image.
    #[serde(default)]
    pub layers: Vec<Descriptor>,
}

/// An image's configuration, as far as anybody asks.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Configuration {
    /// Such as `linux`.
    pub os: String,
    /// Such as `amd64`.
    pub architecture: String,
    /// What it runs with.
    pub config: Option<Execution>,
    /// When it was made: a time by RFC 3339, as far as anybody keeps to it.
    pub created: Option<serde_json::Value>,
}

/// What an image runs with.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Execution {
    /// Its labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// What every container of it runs; a list of texts, as far as anybody keeps to it.
    pub entrypoint: Option<serde_json::Value>,
    /// What follows that unless somebody says otherwise; the same.
    pub cmd: Option<serde_json::Value>,
}

/// A manifest with its own bytes.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The digest of the bytes.
    pub digest: String,
    /// As it was sent.
    pub bytes: Vec<u8>,
    /// What it says.
    pub manifest: Manifest,
}

/// An image for our platform.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What the reference leads to: the index, where it is one.
    pub digest: String,
    /// The manifest for the platform.
    pub image: Fetched,
    /// Its configuration.
    pub configuration: Configuration,
    /// The configuration as it was sent.
    pub configuration_bytes: Vec<u8>,
}

impl Configuration {
    /// Reads it.
    pub fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

impl Resolved {
    /// Bytes of all layers, packed as they are.
    pub fn size(&self) -> u64 {
        let sizes = self.image.manifest.layers.iter().map(|layer| layer.size);
        sizes.fold(0, u64::saturating_add)
    }

    /// Its labels.
    pub fn labels(&self) -> impl Iterator<Item = (&String, &String)> {
        let config = self.configuration.config.as_ref();
        config.and_then(|config| config.labels.as_ref()).into_iter().flatten()
    }
}

/// The processor that this program runs on, as Go names it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

impl Registry {
    /// Resolves a reference for linux on the given processor.
    pub async fn resolve(&self, reference: &Reference, architecture: &str) -> Result<Resolved, Refusal> {
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
                return Err(Refusal::Nonsense(format!(
                    "the image is not made for linux/{architecture}"
                )));
            };
            image = self
                .manifest(&reference.clone_with_digest(entry.digest.clone()))
                .await?;
        }
        let Some(config) = image.manifest.config.clone() else {
            return Err(Refusal::Nonsense("an index that lists an index".to_owned()));
        };
        let configuration_bytes = self.document(reference, &config).await?;
        let configuration: Configuration = parsed(&configuration_bytes)?;
        if configuration.os != "linux" || configuration.architecture != architecture {
            let (os, of) = (
                printable(&configuration.os, 20),
                printable(&configuration.architecture, 20),
            );
            return Err(Refusal::Nonsense(format!(
                "the image is made for {os}/{of} and not for linux/{architecture}"
            )));
        }
        Ok(Resolved {
            digest,
            image,
            configuration,
            configuration_bytes,
        })
    }

    /// The manifest or index behind a reference. By a digest, its bytes are verified.
    pub async fn manifest(&self, reference: &Reference) -> Result<Fetched, Refusal> {
        let types = [
            OCI_IMAGE_MEDIA_TYPE,
            OCI_IMAGE_INDEX_MEDIA_TYPE,
            IMAGE_MANIFEST_MEDIA_TYPE,
            IMAGE_MANIFEST_LIST_MEDIA_TYPE,
        ];
        let (bytes, digest) = self.client.pull_manifest_raw(reference, &self.auth, &types).await?;
        if bytes.len() > DOCUMENT {
            return Err(Refusal::Nonsense(format!("a manifest of {} bytes", bytes.len())));
        }
        let manifest: Manifest = parsed(&bytes)?;
        if manifest.layers.len() > LAYERS || manifest.manifests.len() > LAYERS {
            return Err(Refusal::Nonsense(format!("more than {LAYERS} layers or platforms")));
        }
        Ok(Fetched {
            digest,
            bytes: bytes.to_vec(),
            manifest,
        })
    }

    /// Digests of the manifests that refer to a digest and whose type begins so.
    pub async fn referrers(&self, reference: &Reference, digest: &str, kind: &str) -> Result<Vec<String>, Refusal> {
        let subject = reference.clone_with_digest(digest.to_owned());
        let index = self.client.pull_referrers(&subject, None).await?;
        let entries = index.manifests.into_iter();
        let is_wanted = |kind_of: Option<&str>| kind_of.is_some_and(|kind_of| kind_of.starts_with(kind));
        Ok(entries
            .filter(|entry| is_wanted(entry.artifact_type.as_deref()))
            .map(|entry| entry.digest)
            .collect())
    }

    /// A small blob, whole and verified.
    pub async fn document(&self, reference: &Reference, blob: &Descriptor) -> Result<Vec<u8>, Refusal> {
        let mut stream = self.client.pull_blob_stream(reference, blob.digest.as_str()).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.stream.try_next().await.map_err(|error| broken(&error))? {
            if bytes.len() + chunk.len() > DOCUMENT {
                return Err(Refusal::Nonsense(format!("a document of more than {DOCUMENT} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// What ended a stream: the connection, or a digest that is wrong.
pub(super) fn broken(error: &std::io::Error) -> Refusal {
    let is_digest = error
        .get_ref()
        .is_some_and(|source| source.to_string().to_lowercase().contains("digest"));
    if is_digest {
        Refusal::Nonsense("what the registry sends is not what its digest says".to_owned())
    } else {
        Refusal::Unavailable("the registry broke off its answer".to_owned())
    }
}

fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| {
        Refusal::Nonsense(format!(
            "what the registry sends: {}",
            printable(&error.to_string(), 120)
        ))
    })
}
