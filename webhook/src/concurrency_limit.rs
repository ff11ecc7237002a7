//! How many reviews are evaluated at once, and how many may wait.
//!
//! Beyond that a request is rejected at once, so that the API server does not wait for its timeout.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// From this size on, in bytes, a body is a large one. Ordinary reviews have a tenth of it.
const LARGE: usize = 256 * 1024;
/// How many large bodies are parsed at once: a parsed body takes several times its size.
const LARGE_AT_ONCE: usize = 4;

/// Slots for reviews, and a queue for them.
#[derive(Debug)]
pub struct ConcurrencyLimit {
    slots: Semaphore,
    large: Semaphore,
    waiting: AtomicUsize,
    queue: usize,
    received: AtomicU64,
}

/// Permission to evaluate one review; dropping it frees the slot.
#[derive(Debug)]
pub struct ReviewPermit<'a> {
    _slot: SemaphorePermit<'a>,
    _large: Option<SemaphorePermit<'a>>,
}

/// All slots are taken, and the queue is full or the deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many reviews at once")]
pub struct Overloaded;

impl ConcurrencyLimit {
    /// Evaluates up to `in_flight` reviews at once while up to `queue` wait.
    pub fn new(in_flight: usize, queue: usize) -> Self {
        Self {
            slots: Semaphore::new(in_flight.clamp(1, Semaphore::MAX_PERMITS)),
            large: Semaphore::new(LARGE_AT_ONCE),
            waiting: AtomicUsize::new(0),
            queue,
            received: AtomicU64::new(0),
        }
    }

    /// Waits for a slot, at most until `deadline`. `size` is that of the body in bytes.
    pub async fn acquire(&self, size: usize, deadline: Instant) -> Result<ReviewPermit<'_>, Overloaded> {
        // The scarcer permit first: a review that waits for it must not hold a slot.
        let large = if size > LARGE {
            Some(self.take(&self.large, deadline).await?)
        } else {
            None
        };
        let slot = self.take(&self.slots, deadline).await?;
        self.received.fetch_add(size as u64, Ordering::Relaxed);
        Ok(ReviewPermit {
            _slot: slot,
            _large: large,
        })
    }

    /// Bytes of all bodies that got a slot so far.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    async fn take<'a>(&self, of: &'a Semaphore, deadline: Instant) -> Result<SemaphorePermit<'a>, Overloaded> {
        if let Ok(permit) = of.try_acquire() {
            return Ok(permit);
        }
        let _queued = QueueSlot::take(&self.waiting, self.queue).ok_or(Overloaded)?;
        let permit = timeout_at(deadline, of.acquire()).await;
        permit.map_err(|_| Overloaded)?.map_err(|_| Overloaded)
    }
}

/// A slot in the queue; dropping it frees the slot, also when the client disconnects.
struct QueueSlot<'a>(&'a AtomicUsize);

impl<'a> QueueSlot<'a> {
    fn take(waiting: &'a AtomicUsize, queue: usize) -> Option<Self> {
        let slot = Self(waiting);
        // Where the queue is full, dropping `slot` takes the addition back.
        (waiting.fetch_add(1, Ordering::Relaxed) < queue).then_some(slot)
    }
}

impl Drop for QueueSlot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_full_queue_rejects_at_once_and_slots_are_freed() {
        let limit = ConcurrencyLimit::new(1, 1);
        let far = Instant::now() + Duration::from_secs(60);
        let permit = limit.acquire(1, far).await.unwrap();
        {
            let mut waits = Box::pin(limit.acquire(1, far));
            assert!(futures::poll!(&mut waits).is_pending());
            assert_eq!(limit.acquire(1, far).await.unwrap_err(), Overloaded);
            drop(permit);
            waits.await.unwrap();
        }
        assert_eq!(limit.waiting.load(Ordering::Relaxed), 0);
        limit.acquire(LARGE + 1, far).await.unwrap();
        // Rejected bodies are not counted.
        assert_eq!(limit.received(), 1 + 1 + LARGE as u64 + 1);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_deadline() {
        let limit = ConcurrencyLimit::new(1, 1);
        let _permit = limit.acquire(1, Instant::now()).await.unwrap();
        assert_eq!(limit.acquire(1, Instant::now()).await.unwrap_err(), Overloaded);
    }
}
