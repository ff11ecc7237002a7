//! Follows the file of client CAs, so that who may call changes without a restart.
//!
//! What cannot be used is refused, and who could call before can call on; nobody is ever let in because a file is broken.

use std::path::Path;
use std::time::Duration;

use cnbi_certs::folder_watch::FolderWatch;
use prometheus_client::metrics::gauge::Gauge;

use crate::tls::{ClientCaError, Tls, read};

/// How often the file is looked at without being told to.
const POLL: Duration = Duration::from_secs(2);

/// Follows the file that `tls` was made with; at once done where there is none. `refused` is 1 while it cannot be used.
pub async fn follow(tls: Tls, refused: Gauge) {
    let Some(path) = tls.client_ca().map(Path::to_owned) else {
        return;
    };
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let mut follow = FolderWatch::new(folder.unwrap_or(Path::new(".")), POLL);
    let mut seen = None;
    let mut told = None;
    loop {
        let file = path.clone();
        let bytes = tokio::task::spawn_blocking(move || read(&file)).await;
        let outcome = match bytes {
            Ok(Ok(bytes)) if seen.as_ref() == Some(&bytes) => Ok(()),
            Ok(Ok(bytes)) => tls.set_client_ca(&bytes).inspect(|()| {
                if seen.replace(bytes).is_some() {
                    tracing::info!(file = %path.display(), "other client CAs are in force");
                }
            }),
            Ok(Err(error)) => Err(error),
            Err(error) => Err(ClientCaError::Content(path.clone(), error.to_string())),
        };
        let error = outcome.err().map(|error| error.to_string());
        refused.set(error.is_some().into());
        if error != told {
            if let Some(error) = &error {
                tracing::warn!(error, "the client CAs cannot be used; those of before stay in force");
            }
            told = error;
        }
        follow.next().await;
    }
}
