//! A timeout for requests to the API server, so that none blocks the next reconciliation.

use std::future::Future;
use std::time::Duration;

use crate::rotator::RotationError;

/// Timeout of one request.
const DEADLINE: Duration = Duration::from_secs(10);

/// Awaits `request` for at most [`DEADLINE`].
pub(crate) async fn in_time<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, RotationError> {
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(RotationError::Deadline),
    }
}
