//! Moves whole images: from a registry into a layout, and from a layout to a registry.

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

use super::image::{Descriptor, Resolved, broken};
use super::layout::{IMAGE, Layout, LayoutError, NewLayout, blob_name};
use super::{Refusal, Registry};

/// Bytes of a piece of a body. The HTTP connection queues at most 16 of them, so that progress is visible on slow networks too.
const PIECE: usize = 16 << 10;

/// Factor of the idle timeout for the response to a complete upload: until then the kernel sends what it has buffered, and the registry
/// verifies and stores the blob.
const RESPONSE: u32 = 5;

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

    pub(super) async fn has_blob(&self, reference: &Reference, digest: &str) -> Result<bool, Refusal> {
        Ok(self.client.blob_exists(reference, digest).await?)
    }

    /// Uploads a blob. It may take any time as long as data is sent: reqwest's read timeout starts with the
    /// request and is not reset while a body is sent, so progress is measured where the connection takes the next piece of the body.
    pub(super) async fn upload(
        &self,
        reference: &Reference,
        digest: &str,
        size: u64,
        content: impl Read + Send + 'static,
    ) -> Result<(), Refusal> {
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
                    return Err(Refusal::Unavailable(if is_complete {
                        format!("the registry did not confirm the upload within {limit} s")
                    } else {
                        format!("the upload made no progress for {limit} s")
                    }));
                }
            }
        }
    }

    /// Pushes a layout's image to a tag, and says the digest that the registry has for the tag then.
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

/// The first `size` bytes of a reader, in pieces. Sends a value when a piece is taken: whether it was the last.
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
