//! Attaches a document to an image: an artifact that refers to it, as the OCI's image and distribution specifications have it.
//!
//! Registries that list referrers need no more than the artifact. For others its pusher also keeps the list, as an index under a tag
//! that is made from the image's digest ("Referrers Tag Schema").

use std::io::Cursor;

use oci_client::Reference;
use oci_client::manifest::{OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE};
use serde_json::{Value, json};

use super::layout::digest;
use super::{Refusal, Registry};

/// The media type of a configuration that says nothing, and what it says.
const EMPTY: (&str, &[u8]) = ("application/vnd.oci.empty.v1+json", b"{}");
/// Most artifacts of one image that are kept in the list.
const LISTED: usize = 100;

/// The image that something is attached to.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Media type of its manifest.
    pub media_type: &'a str,
    /// Digest of its manifest.
    pub digest: &'a str,
    /// Bytes of its manifest.
    pub size: usize,
}

impl Registry {
    /// Attaches a document to an image of the repository that `reference` names, and gives the artifact's digest. Doing it again
    /// changes nothing. We have to have introduced ourselves for a push.
    pub async fn attach(
        &self,
        reference: &Reference,
        subject: Subject<'_>,
        kind: &str,
        document: Vec<u8>,
    ) -> Result<String, Refusal> {
        let blob = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()});
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_IMAGE_MEDIA_TYPE,
            "artifactType": kind,
            "config": blob(EMPTY.0, EMPTY.1),
            "layers": [blob(kind, &document)],
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
        if !self.lists(reference, subject, kind, &artifact).await? {
            let entry = json!({
                "mediaType": OCI_IMAGE_MEDIA_TYPE, "artifactType": kind, "digest": artifact, "size": size,
            });
            self.list(reference, subject, entry).await?;
            if !self.lists(reference, subject, kind, &artifact).await? {
                return Err(Refusal::Nonsense(
                    "the registry does not list what was attached to the image".to_owned(),
                ));
            }
        }
        Ok(artifact)
    }

    async fn lists(
        &self,
        image: &Reference,
        subject: Subject<'_>,
        kind: &str,
        artifact: &str,
    ) -> Result<bool, Refusal> {
        let listed = self.referrers(image, subject.digest, kind).await?;
        Ok(listed.iter().any(|digest| digest == artifact))
    }

    /// Adds an entry to the list that the registry does not keep itself.
    async fn list(&self, image: &Reference, subject: Subject<'_>, entry: Value) -> Result<(), Refusal> {
        let tag = subject.digest.replace(':', "-");
        let list = Reference::with_tag(image.registry().to_owned(), image.repository().to_owned(), tag);
        let mut entries = match self.manifest(&list).await {
            Ok(found) => {
                let index: Value = serde_json::from_slice(&found.bytes).unwrap_or_default();
                index["manifests"].as_array().cloned().unwrap_or_default()
            }
            Err(Refusal::NotFound(_)) => Vec::new(),
            Err(refusal) => return Err(refusal),
        };
        entries.push(entry);
        let surplus = entries.len().saturating_sub(LISTED);
        entries.drain(..surplus);
        let index = json!({"schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": entries});
        let index = index.to_string().into_bytes();
        self.client
            .push_manifest_raw(&list, index, media(OCI_IMAGE_INDEX_MEDIA_TYPE)?)
            .await?;
        Ok(())
    }

    /// Puts a manifest under its digest.
    async fn put(&self, image: &Reference, digest: &str, manifest: Vec<u8>, media_type: &str) -> Result<(), Refusal> {
        // Where a registry leaves out a header, the library takes it for granted that what it has put ends with the tag. So the end of
        // the digest stands for one; the digest counts.
        let tag = digest.rsplit(':').next().unwrap_or(digest).to_owned();
        let (registry, repository) = (image.registry().to_owned(), image.repository().to_owned());
        let place = Reference::with_tag_and_digest(registry, repository, tag, digest.to_owned());
        self.client
            .push_manifest_raw(&place, manifest, media(media_type)?)
            .await?;
        Ok(())
    }
}

fn media<T: std::str::FromStr>(media_type: &str) -> Result<T, Refusal> {
    let parsed = media_type.parse();
    parsed.map_err(|_| Refusal::Nonsense("a media type is none".to_owned()))
}
