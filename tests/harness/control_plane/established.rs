//! Waits until kinds that were just defined can be used.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::ControlPlane;
use crate::process::POLL;

/// How long the API server may take until it serves a kind.
const SERVED_WITHIN: Duration = Duration::from_secs(60);

impl ControlPlane {
    /// Waits until the definitions that kubectl finds by these arguments are established.
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
            // kubectl does not wait for a definition that has no conditions at all yet.
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
