//! Minimal test images that conform to the OCI image specification, with correct digests.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The end of a tar archive; by itself, an empty archive.
const EMPTY_TAR: [u8; 1024] = [0; 1024];

/// An image with one layer.
#[derive(Clone, Debug)]
pub struct Image {
    architecture: String,
    labels: BTreeMap<String, String>,
    settings: Map<String, Value>,
    layer: Vec<u8>,
}

impl Default for Image {
    fn default() -> Self {
        Self {
            architecture: "amd64".to_owned(),
            labels: BTreeMap::new(),
            settings: Map::new(),
            layer: EMPTY_TAR.to_vec(),
        }
    }
}

impl Image {
    /// An empty image for linux/amd64.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a label; images with different labels have different digests.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets another field of the configuration, such as `User` or `Env`.
    #[must_use]
    pub fn setting(mut self, key: &str, value: Value) -> Self {
        self.settings.insert(key.to_owned(), value);
        self
    }

    /// Sets entrypoint and command.
    #[must_use]
    pub fn command(self, command: &[&str]) -> Self {
        let (entrypoint, rest) = command.split_at(command.len().min(1));
        self.setting("Entrypoint", json!(entrypoint))
            .setting("Cmd", json!(rest))
    }

    /// Sets another architecture, by its GOARCH name.
    #[must_use]
    pub fn architecture(mut self, architecture: &str) -> Self {
        architecture.clone_into(&mut self.architecture);
        self
    }

    /// Uses this tar archive as the layer.
    #[must_use]
    pub fn layer(mut self, tar: Vec<u8>) -> Self {
        self.layer = tar;
        self
    }

    /// All blobs that the manifest refers to.
    pub fn blobs(&self) -> [Vec<u8>; 2] {
        [self.config(), self.layer.clone()]
    }

    /// The manifest and its media type.
    pub fn manifest(&self) -> (Vec<u8>, &'static str) {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &self.config()),
            "layers": [descriptor(LAYER, &self.layer)],
        });
        (manifest.to_string().into_bytes(), MANIFEST)
    }

    fn config(&self) -> Vec<u8> {
        let mut settings = self.settings.clone();
        settings.insert("Labels".to_owned(), json!(self.labels));
        let config = json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": settings,
            "rootfs": { "type": "layers", "diff_ids": [digest(&self.layer)] },
        });
        config.to_string().into_bytes()
    }
}

/// The descriptor of a blob.
pub(super) fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(blob), "size": blob.len() })
}

/// `sha256:` and the hexadecimal digest.
pub fn digest(blob: &[u8]) -> String {
    format!(
        "sha256:{}",
        hex::encode(ring::digest::digest(&ring::digest::SHA256, blob))
    )
}
