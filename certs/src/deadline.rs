//! No request to the API server may hold up the next look for ever.

use std::future::Future;
use std::time::Duration;

use crate::keeper::Failure;

/// How long one request to the API server may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// The outcome of `request`, or a failure when it takes too long.
pub(crate) async fn in_time<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Failure::Deadline),
    }
}
