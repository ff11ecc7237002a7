//! Waits until new CustomResourceDefinitions are established.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::ControlPlane;
use crate::process::POLL;

/// Timeout for the API server to serve a kind.
const SERVED_WITHIN: Duration = Duration::from_secs(60);

impl ControlPlane {
    /// Waits until the CustomResourceDefinitions that kubectl selects with these arguments are established.
    pub async fn until_established<S: AsRef<OsStr>>(&self, definitions: &[S]) -> Result<()> {
        let timeout = format!("--timeout={}s", SERVED_WITHIN.as_secs());
        let begin = Instant::now();
        loop {
            let wait = self
                .kubectl()
                .args(["wait", "--for=condition=Established", &timeout])
                .args(definitions);
            let answer = wait.run().await?;
            if answer.success {
                return Ok(());
            }
            // `kubectl wait` fails for a definition that has no conditions yet.
            let is_new = answer.stderr.contains(".status.conditions accessor error");
            ensure!(
                is_new && begin.elapsed() < SERVED_WITHIN,
                "not served: {}",
                answer.stderr.trim()
            );
            tokio::time::sleep(POLL).await;
        }
    }
}
