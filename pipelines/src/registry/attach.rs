//! Attaches a document to an image as an artifact with a `subject` (OCI image and distribution specifications 1.1).
//!
//! For registries without the referrers API, the client also maintains an index under a tag ("Referrers Tag Schema").

use std::io::Cursor;

use oci_client::Reference;
use oci_client::manifest::{OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE};
use serde_json::{Value, json};

use super::layout::digest;
use super::{Registry, RegistryError};

/// Media type and content of the empty configuration.
const EMPTY: (&str, &[u8]) = ("application/vnd.oci.empty.v1+json", b"{}");
/// Maximum number of artifacts in the index of an image.
const MAX_LISTED: usize = 100;

/// The image that a document is attached to.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Media type of the manifest.
    pub media_type: &'a str,
    /// Digest of the manifest.
    pub digest: &'a str,
    /// Size of the manifest, in bytes.
    pub size: usize,
}

impl Registry {
    /// Attaches a document to an image in the repository of `reference` and returns the artifact's digest. Idempotent. Requires
    /// authentication for push.
    pub async fn attach(
        &self,
        reference: &Reference,
        subject: Subject<'_>,
        artifact_type: &str,
        document: Vec<u8>,
    ) -> Result<String, RegistryError> {
        let blob = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()});
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_IMAGE_MEDIA_TYPE,
            "artifactType": artifact_type,
            "config": blob(EMPTY.0, EMPTY.1),
            "layers": [blob(artifact_type, &document)],
            "subject": {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size},
        });
        for bytes in [EMPTY.1.to_vec(), document] {
            let digest = digest(&bytes);
            if !self.has_blob(reference, &digest).await? {
                let size = bytes.len() as u64;
                self.upload(reference, &digest, size, Cursor::new(bytes)).await?;
            }
        }
        let manifest = manifest.to_string().into_bytes();
        let (artifact, size) = (digest(&manifest), manifest.len());
        self.put(reference, &artifact, manifest, OCI_IMAGE_MEDIA_TYPE).await?;
        if !self.lists(reference, subject, artifact_type, &artifact).await? {
            let entry = json!({
                "mediaType": OCI_IMAGE_MEDIA_TYPE, "artifactType": artifact_type, "digest": artifact, "size": size,
            });
            self.list(reference, subject, entry).await?;
            if !self.lists(reference, subject, artifact_type, &artifact).await? {
                return Err(RegistryError::InvalidResponse(
                    "the registry does not list the attached artifact".to_owned(),
                ));
            }
        }
        Ok(artifact)
    }

    async fn lists(
        &self,
        image: &Reference,
        subject: Subject<'_>,
        artifact_type: &str,
        artifact: &str,
    ) -> Result<bool, RegistryError> {
        let listed = self.referrers(image, subject.digest, artifact_type).await?;
        Ok(listed.iter().any(|digest| digest == artifact))
    }

    /// Adds an entry to the index of artifacts.
    async fn list(&self, image: &Reference, subject: Subject<'_>, entry: Value) -> Result<(), RegistryError> {
        let tag = subject.digest.replace(':', "-");
        let list = Reference::with_tag(image.registry().to_owned(), image.repository().to_owned(), tag);
        let mut entries = match self.manifest(&list).await {
            Ok(found) => {
                let index: Value = serde_json::from_slice(&found.bytes).unwrap_or_default();
                index["manifests"].as_array().cloned().unwrap_or_default()
            }
            Err(RegistryError::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        entries.push(entry);
        let surplus = entries.len().saturating_sub(MAX_LISTED);
        entries.drain(..surplus);
        let index = json!({"schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": entries});
        let index = index.to_string().into_bytes();
        self.client
            .push_manifest_raw(&list, index, parse_media_type(OCI_IMAGE_INDEX_MEDIA_TYPE)?)
            .await?;
        Ok(())
    }

    /// Pushes a manifest by digest.
    async fn put(
        &self,
        image: &Reference,
        digest: &str,
        manifest: Vec<u8>,
        media_type: &str,
    ) -> Result<(), RegistryError> {
        // If a registry omits the Location header, oci-client expects the tag at the end of the URL. The digest is used for the push; the tag
        // only satisfies this check.
        let tag = digest.rsplit(':').next().unwrap_or(digest).to_owned();
        let (registry, repository) = (image.registry().to_owned(), image.repository().to_owned());
        let target = Reference::with_tag_and_digest(registry, repository, tag, digest.to_owned());
        self.client
            .push_manifest_raw(&target, manifest, parse_media_type(media_type)?)
            .await?;
        Ok(())
    }
}

fn parse_media_type<T: std::str::FromStr>(media_type: &str) -> Result<T, RegistryError> {
    let parsed = media_type.parse();
    parsed.map_err(|_| RegistryError::InvalidResponse("invalid media type".to_owned()))
}
