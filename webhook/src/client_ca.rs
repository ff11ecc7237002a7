//! Reloads the file of client CAs when it changes.
//!
//! If the new content is invalid, the last valid CAs stay active.

use std::path::Path;
use std::time::Duration;

use cnbi_certs::folder_watch::FolderWatch;
use prometheus_client::metrics::gauge::Gauge;

use crate::tls::{ClientCaError, Tls, read};

/// How often the file is read without a notification of the kernel.
const POLL: Duration = Duration::from_secs(2);

/// Watches the file of client CAs of `tls`; returns at once if it has none. `refused` is 1 while the file is invalid.
pub async fn watch(tls: Tls, refused: Gauge) {
    let Some(path) = tls.client_ca().map(Path::to_owned) else {
        return;
    };
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let mut follow = FolderWatch::new(folder.unwrap_or(Path::new(".")), POLL);
    let mut seen = None;
    let mut reported = None;
    loop {
        let file = path.clone();
        let bytes = tokio::task::spawn_blocking(move || read(&file)).await;
        let outcome = match bytes {
            Ok(Ok(bytes)) if seen.as_ref() == Some(&bytes) => Ok(()),
            Ok(Ok(bytes)) => tls.set_client_ca(&bytes).inspect(|()| {
                if seen.replace(bytes).is_some() {
                    tracing::info!(file = %path.display(), "client CAs reloaded");
                }
            }),
            Ok(Err(error)) => Err(error),
            Err(error) => Err(ClientCaError::Content(path.clone(), error.to_string())),
        };
        let error = outcome.err().map(|error| error.to_string());
        refused.set(error.is_some().into());
        if error != reported {
            if let Some(error) = &error {
                tracing::warn!(error, "the client CAs are invalid; the last valid ones stay active");
            }
            reported = error;
        }
        follow.next().await;
    }
}
