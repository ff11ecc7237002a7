//! Pulls an image into an OCI layout and pushes one from it.

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::Path;
use std::pin::pin;

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _, stream};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::OCI_IMAGE_MEDIA_TYPE;
use oci_client::{Reference, RegistryOperation};
use tokio::sync::watch::Sender;
use tokio::time::timeout;

use super::image::{Descriptor, ResolvedImage, stream_error};
use super::layout::{Layout, LayoutError, MAX_IMAGE, NewLayout, blob_name};
use super::{Registry, RegistryError};

/// Size of the pieces of a body, in bytes. The HTTP connection queues up to 16 of them; small ones show progress on slow networks.
const PIECE: usize = 16 << 10;

/// Multiple of the idle timeout for the response after the whole body is sent: the kernel still sends buffered data, and the registry
/// verifies and stores the blob.
const RESPONSE: u32 = 5;

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Error of the registry.
    #[error("{0}")]
    Registry(#[from] RegistryError),
    /// Error of the layout or the volume.
    #[error("{0}")]
    Layout(#[from] LayoutError),
}

fn volume(error: std::io::Error) -> TransferError {
    LayoutError::Io("the volume".to_owned(), error).into()
}

impl Registry {
    /// Pulls an image into a layout in `folder` with the name `name`.
    pub async fn pull(
        &self,
        reference: &Reference,
        image: &ResolvedImage,
        folder: &Path,
        name: &str,
    ) -> Result<(), TransferError> {
        if image.size() > MAX_IMAGE {
            return Err(
                RegistryError::InvalidResponse(format!("the image is larger than {} GiB", MAX_IMAGE >> 30)).into(),
            );
        }
        let layout = NewLayout::create(folder).map_err(volume)?;
        for layer in &image.image.manifest.layers {
            let file = layout.blob(blob_name(&layer.digest)?).map_err(volume)?;
            self.download(reference, layer, file).await?;
        }
        if let Some(config) = &image.image.manifest.config {
            layout
                .write(blob_name(&config.digest)?, &image.configuration_bytes)
                .map_err(volume)?;
        }
        let manifest = &image.image;
        layout
            .write(blob_name(&manifest.digest)?, &manifest.bytes)
            .map_err(volume)?;
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
        let mut stream = answer.map_err(RegistryError::from)?.stream;
        let mut left = layer.size;
        while let Some(piece) = stream.try_next().await.map_err(|error| stream_error(&error))? {
            let size = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            left = left
                .checked_sub(size)
                .ok_or_else(|| RegistryError::InvalidResponse("a layer is larger than its manifest says".to_owned()))?;
            file.write_all(&piece).map_err(volume)?;
        }
        Ok(())
    }

    pub(super) async fn has_blob(&self, reference: &Reference, digest: &str) -> Result<bool, RegistryError> {
        Ok(self.client.blob_exists(reference, digest).await?)
    }

    /// Uploads a blob with an idle timeout. reqwest's read timeout would limit the whole request, because it is not reset while a body is
    /// sent. So progress is measured where the connection takes the next piece of the body.
    pub(super) async fn upload(
        &self,
        reference: &Reference,
        digest: &str,
        size: u64,
        content: impl Read + Send + 'static,
    ) -> Result<(), RegistryError> {
        let progress = Sender::new(size == 0);
        let mut taken = progress.subscribe();
        let body = pieces(content, size, progress.clone());
        let mut upload = pin!(self.upload_client.push_blob_stream(reference, body, digest, Some(size)));
        loop {
            let is_complete = *taken.borrow_and_update();
            let limit = if is_complete {
                self.idle_timeout * RESPONSE
            } else {
                self.idle_timeout
            };
            tokio::select! {
                result = &mut upload => return Ok(result.map(|_| ())?),
                taken = timeout(limit, taken.changed()) => if taken.is_err() {
                    let limit = limit.as_secs();
                    return Err(RegistryError::Unavailable(if is_complete {
                        format!("the registry did not confirm the upload within {limit} s")
                    } else {
                        format!("the upload made no progress for {limit} s")
                    }));
                }
            }
        }
    }

    /// Pushes the image of a layout and returns the digest that the registry has for the tag.
    pub async fn push(&self, reference: &Reference, layout: &Layout) -> Result<String, TransferError> {
        self.authenticate(reference, RegistryOperation::Push).await?;
        for part in layout.parts() {
            if !self.has_blob(reference, &part.digest).await? {
                self.upload(reference, &part.digest, part.size, layout.blob(part)?)
                    .await?;
            }
        }
        let media_type = layout
            .media_type()
            .parse()
            .map_err(|_| LayoutError::Invalid("the media type of the manifest is invalid".to_owned()))?;
        let sent = self
            .client
            .push_manifest_raw(reference, layout.bytes.clone(), media_type)
            .await;
        sent.map_err(RegistryError::from)?;
        let digest = self.client.fetch_manifest_digest(reference, &self.auth).await;
        let digest = digest.map_err(RegistryError::from)?;
        if digest != layout.descriptor.digest {
            return Err(RegistryError::InvalidResponse(
                "the tag has another digest than the pushed image; another client may have pushed it".to_owned(),
            )
            .into());
        }
        Ok(digest)
    }
}

/// The first `size` bytes of a reader as a body. For each piece that is taken, `progress` receives whether it was the last.
fn pieces(
    content: impl Read + Send + 'static,
    size: u64,
    progress: Sender<bool>,
) -> impl Stream<Item = Result<Bytes, OciDistributionError>> + Send + 'static {
    stream::try_unfold((content.take(size), progress), |(mut content, progress)| async move {
        let mut piece = vec![0; PIECE];
        let count = content.read(&mut piece)?;
        piece.truncate(count);
        progress.send_replace(content.limit() == 0);
        Ok((count > 0).then(|| (Bytes::from(piece), (content, progress))))
    })
}

#[cfg(test)]
mod tests;
