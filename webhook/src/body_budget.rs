//! Receives request bodies within a budget of memory, and ends those that arrive too slowly.
//!
//! A body holds no concurrency slot while it arrives. Its first [`FREE`] bytes need no budget, as ordinary reviews have fewer:
//! the limit of connections bounds them. Each further piece takes its bytes from the budget as it arrives, and the body gives
//! them back once its request is answered. While the budget is used up:
//!
//! * no more is read of bodies that need it;
//! * connections that stopped in the middle of a body are closed, see [`ConnectionTable::evict_bodies`];
//! * one body at a time may exceed the budget, so that bodies which wait for each other cannot all stop.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout_at};

use crate::connection::{self, Activity};
use crate::connections::ConnectionTable;

/// Most bytes of a body: two objects of 3 MB, and the rest of the review.
pub const BODY_LIMIT: usize = 7 * 1024 * 1024;

/// Bytes of each body that need no budget.
const FREE: usize = 32 * 1024;
/// Most bytes to allocate because of a Content-Length alone.
const INITIAL_CAPACITY: usize = 256 * 1024;
/// Fewest bytes per second of a body, on average and after [`GRACE`].
const LEAST_RATE: u32 = 64 * 1024;
/// How long a body may arrive at any rate.
const GRACE: Duration = Duration::from_secs(1);
/// How long a client may pause in the middle of a body while others wait for memory.
const STALLED: Duration = Duration::from_millis(50);

/// Why a body was not received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than [`BODY_LIMIT`].
    #[error("the body has more than {BODY_LIMIT} bytes")]
    TooLarge,
    /// It did not arrive before the deadline, or it arrived slower than [`LEAST_RATE`].
    #[error("the body arrived too slowly")]
    TooSlow,
    /// The connection failed.
    #[error("the connection failed before the end of the body")]
    Incomplete,
    /// No memory became free before the deadline.
    #[error("too many request bodies at once")]
    NoMemory,
}

/// Memory for request bodies.
#[derive(Debug)]
pub struct BodyBudget {
    bytes: Semaphore,
    overdraft: Semaphore,
    connections: Arc<ConnectionTable>,
}

/// A whole body. Dropping it gives its memory back to the budget.
#[derive(Debug)]
pub struct BufferedBody<'a> {
    /// The body.
    pub bytes: Bytes,
    _reserved: Reserved<'a>,
}

#[derive(Debug, Default)]
struct Reserved<'a> {
    bytes: Option<SemaphorePermit<'a>>,
    overdraft: Option<SemaphorePermit<'a>>,
}

impl BodyBudget {
    /// Buffers at most so many bytes, and one body beyond that. `connections` are those that bodies arrive on.
    pub fn new(bytes: usize, connections: Arc<ConnectionTable>) -> Self {
        Self {
            bytes: Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)),
            overdraft: Semaphore::new(1),
            connections,
        }
    }

    /// Receives a body that began to arrive at `begin`, before `deadline`.
    pub async fn receive(
        &self,
        body: Body,
        mut begin: Instant,
        deadline: Instant,
    ) -> Result<BufferedBody<'_>, BodyError> {
        let length = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
        let mut body = Limited::new(body, BODY_LIMIT);
        let mut reserved = Reserved::default();
        let mut buffer = Vec::new();
        loop {
            let at_least_rate = Duration::from_secs(buffer.len() as u64) / LEAST_RATE;
            let too_slow = deadline.min(begin + GRACE + at_least_rate);
            let data = match timeout_at(too_slow, body.frame()).await {
                Ok(None) => break,
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                Ok(Some(Err(error))) if error.is::<LengthLimitError>() => return Err(BodyError::TooLarge),
                Ok(Some(Err(_))) => return Err(BodyError::Incomplete),
                Err(_) => return Err(BodyError::TooSlow),
            };
            let charged = |received: usize| received.saturating_sub(FREE);
            let charge = charged(buffer.len() + data.len()) - charged(buffer.len());
            if charge > 0 && !self.try_reserve(&mut reserved, charge) {
                let waits = Instant::now();
                // Boxed, because few bodies wait, and the future of each review would have room for this one.
                let memory = timeout_at(deadline, Box::pin(self.reserve(&mut reserved, charge))).await;
                memory.map_err(|_| BodyError::NoMemory)?;
                begin += waits.elapsed();
            }
            if buffer.is_empty() && body.is_end_stream() {
                // One piece, as nearly all are: it needs no copy.
                return Ok(BufferedBody {
                    bytes: data,
                    _reserved: reserved,
                });
            }
            if buffer.is_empty() {
                buffer.reserve_exact(length.unwrap_or_default().min(INITIAL_CAPACITY).max(data.len()));
            }
            buffer.extend_from_slice(&data);
            connection::current(|current| current.set_buffered(buffer.len()));
        }
        Ok(BufferedBody {
            bytes: buffer.into(),
            _reserved: reserved,
        })
    }

    fn try_reserve<'a>(&'a self, reserved: &mut Reserved<'a>, bytes: usize) -> bool {
        if reserved.overdraft.is_some() {
            return true;
        }
        let permit = self.bytes.try_acquire_many(permits(bytes));
        permit.map(|permit| reserved.add(permit)).is_ok()
    }

    async fn reserve<'a>(&'a self, reserved: &mut Reserved<'a>, bytes: usize) {
        let has_sent_review = connection::current(|connection| {
            connection.set_activity(Activity::Paused);
            connection.has_sent_review()
        });
        let mut free = pin!(self.bytes.acquire_many(permits(bytes)));
        let mut overdraft = pin!(self.overdraft.acquire());
        loop {
            // Neither semaphore is ever closed.
            tokio::select! {
                Ok(permit) = &mut free => return reserved.add(permit),
                Ok(permit) = &mut overdraft => {
                    reserved.overdraft = Some(permit);
                    return;
                }
                () = sleep(STALLED) => self.connections.evict_bodies(bytes, STALLED, has_sent_review == Some(true)),
            }
        }
    }
}

impl<'a> Reserved<'a> {
    fn add(&mut self, permit: SemaphorePermit<'a>) {
        match &mut self.bytes {
            Some(all) => all.merge(permit),
            none => *none = Some(permit),
        }
    }
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ConnectionMetrics;
    use futures::{StreamExt as _, stream};
    use std::convert::Infallible;

    const LIMIT: Duration = Duration::from_secs(60);

    fn budget(bytes: usize) -> BodyBudget {
        let connections = ConnectionTable::new(10, ConnectionMetrics::default());
        BodyBudget::new(bytes, Arc::new(connections))
    }

    /// A body of `count` pieces of `size` bytes, one after each `pause`.
    fn pieces(count: usize, size: usize, pause: Duration) -> Body {
        let pieces = stream::iter(0..count).then(move |_| async move {
            sleep(pause).await;
            Ok::<_, Infallible>(Bytes::from(vec![b'x'; size]))
        });
        Body::from_stream(pieces)
    }

    async fn receive(budget: &BodyBudget, body: Body) -> Result<BufferedBody<'_>, BodyError> {
        budget.receive(body, Instant::now(), Instant::now() + LIMIT).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_takes_its_bytes_and_gives_them_back() {
        let budget = budget(1000);
        let free = receive(&budget, Body::from("x".repeat(FREE))).await.unwrap();
        let whole = receive(&budget, Body::from("x".repeat(FREE + 400))).await.unwrap();
        let in_pieces = receive(&budget, pieces(3, FREE / 2 + 100, Duration::ZERO))
            .await
            .unwrap();
        assert_eq!(
            (whole.bytes.len(), in_pieces.bytes.len()),
            (FREE + 400, FREE / 2 * 3 + 300)
        );
        // 400 bytes for `whole` and 200 for the second piece; the third one uses the overdraft.
        assert_eq!(budget.bytes.available_permits(), 400);
        drop((free, whole, in_pieces));
        assert_eq!(budget.bytes.available_permits(), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_are_too_slow_or_too_large_are_refused_and_slow_starts_are_not() {
        let budget = budget(BODY_LIMIT);
        let second = Duration::from_secs(1);
        let slow = receive(&budget, pieces(10, 1000, second / 2)).await;
        assert_eq!(slow.unwrap_err(), BodyError::TooSlow);
        let steady = receive(&budget, pieces(10, LEAST_RATE as usize, second * 9 / 10)).await;
        assert_eq!(steady.unwrap().bytes.len(), 10 * LEAST_RATE as usize);
        let large = receive(&budget, Body::from(vec![b'x'; BODY_LIMIT + 1])).await;
        assert_eq!(large.unwrap_err(), BodyError::TooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_wait_for_each_other_are_all_received() {
        let budget = budget(10 * FREE);
        let bodies = (0..20).map(|_| async {
            let body = receive(&budget, pieces(10, FREE, Duration::from_millis(1)))
                .await
                .unwrap();
            sleep(Duration::from_millis(1)).await;
            body.bytes.len()
        });
        assert_eq!(futures::future::join_all(bodies).await, [10 * FREE; 20]);
        assert_eq!(budget.bytes.available_permits(), 10 * FREE);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_memory_ends_with_the_deadline() {
        let budget = budget(10);
        let body = || Body::from("x".repeat(FREE + 10));
        let first = receive(&budget, body()).await.unwrap();
        let overdraft = receive(&budget, body()).await.unwrap();
        assert_eq!(receive(&budget, body()).await.unwrap_err(), BodyError::NoMemory);
        receive(&budget, Body::from("x")).await.unwrap();
        drop((first, overdraft));
        receive(&budget, body()).await.unwrap();
    }
}
