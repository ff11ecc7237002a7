//! Moves whole images: from a registry into a layout, and from a layout to a registry.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _, stream};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::OCI_IMAGE_MEDIA_TYPE;
use oci_client::{Reference, RegistryOperation};

use super::image::{Descriptor, Resolved, broken};
use super::layout::{IMAGE, Layout, LayoutError, NewLayout, hex};
use super::{Refusal, Registry};

/// Bytes that are sent at once.
const PIECE: usize = 1 << 20;

/// Why an image could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The registry did not do its part.
    #[error("{0}")]
    Registry(#[from] Refusal),
    /// The layout is not what it should be, or the volume is full.
    #[error("{0}")]
    Layout(#[from] LayoutError),
}

fn volume(error: std::io::Error) -> TransferError {
    LayoutError::Io("the volume".to_owned(), error).into()
}

impl Registry {
    /// Writes an image as a layout into `folder`, named `name` there.
    pub async fn pull(
        &self,
        reference: &Reference,
        image: &Resolved,
        folder: &Path,
        name: &str,
    ) -> Result<(), TransferError> {
        if image.size() > IMAGE {
            return Err(Refusal::Nonsense(format!("the image has more than {} GiB", IMAGE >> 30)).into());
        }
        let layout = NewLayout::create(folder).map_err(volume)?;
        for layer in &image.image.manifest.layers {
            let file = layout.blob(hex(&layer.digest)?).map_err(volume)?;
            self.download(reference, layer, file).await?;
        }
        if let Some(config) = &image.image.manifest.config {
            layout
                .write(hex(&config.digest)?, &image.configuration_bytes)
                .map_err(volume)?;
        }
        let manifest = &image.image;
        layout.write(hex(&manifest.digest)?, &manifest.bytes).map_err(volume)?;
        let media_type = match manifest.manifest.media_type.as_str() {
            "" => OCI_IMAGE_MEDIA_TYPE,
            given => given,
        };
        layout
            .finish(&manifest.digest, media_type, manifest.bytes.len(), name)
            .map_err(volume)
    }

    async fn download(&self, reference: &Reference, layer: &Descriptor, mut file: File) -> Result<(), TransferError> {
        let answer = self.client.pull_blob_stream(reference, layer.digest.as_str()).await;
        let mut stream = answer.map_err(Refusal::from)?.stream;
        let mut left = layer.size;
        while let Some(piece) = stream.try_next().await.map_err(|error| broken(&error))? {
            let size = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            left = left.checked_sub(size).ok_or_else(|| {
                Refusal::Nonsense("the registry sends more of a layer than the manifest says".to_owned())
            })?;
            file.write_all(&piece).map_err(volume)?;
        }
        Ok(())
    }

    /// Pushes a layout's image to a tag, and says the digest that the registry has for the tag then.
    pub async fn push(&self, reference: &Reference, layout: &Layout) -> Result<String, TransferError> {
        self.enter(reference, RegistryOperation::Push).await?;
        for part in layout.parts() {
            let there = self.client.blob_exists(reference, &part.digest).await;
            if there.map_err(Refusal::from)? {
                continue;
            }
            let file = layout.blob(part)?;
            let sent = self
                .client
                .push_blob_stream(reference, pieces(file, part.size), &part.digest, Some(part.size))
                .await;
            sent.map_err(Refusal::from)?;
        }
        let media_type = layout
            .media_type()
            .parse()
            .map_err(|_| LayoutError::Wrong("the manifest's media type is none".to_owned()))?;
        let sent = self
            .client
            .push_manifest_raw(reference, layout.bytes.clone(), media_type)
            .await;
        sent.map_err(Refusal::from)?;
        let digest = self.client.fetch_manifest_digest(reference, &self.auth).await;
        let digest = digest.map_err(Refusal::from)?;
        if digest != layout.descriptor.digest {
            return Err(
                Refusal::Nonsense("the registry has another image for the tag than was pushed".to_owned()).into(),
            );
        }
        Ok(digest)
    }
}

/// A file's content, no more of it than was measured.
fn pieces(file: File, size: u64) -> impl Stream<Item = Result<Bytes, OciDistributionError>> + Send + 'static {
    stream::try_unfold(file.take(size), |mut file| async move {
        let mut piece = vec![0; PIECE];
        let count = file.read(&mut piece)?;
        piece.truncate(count);
        Ok((count > 0).then(|| (Bytes::from(piece), file)))
    })
}
