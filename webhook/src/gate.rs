//! How many reviews are worked on at once, and how many may wait.
//!
//! Beyond that a request is turned away at once: the API server has better things to do than to wait for a timeout.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// From this size on, in bytes, a body is a large one. Ordinary reviews have a tenth of it.
const LARGE: u64 = 256 * 1024;
/// How many large bodies are held at once, so that 7 MiB each do not add up to more than a small pod has.
const LARGE_AT_ONCE: usize = 4;

/// Lets in so many and no more.
#[derive(Debug)]
pub struct Gate {
    slots: Semaphore,
    large: Semaphore,
    waiting: AtomicUsize,
    queue: usize,
    received: AtomicU64,
}

/// Leave to work on one review.
#[derive(Debug)]
pub struct Pass<'a> {
    _slot: SemaphorePermit<'a>,
    _large: Option<SemaphorePermit<'a>>,
}

/// Too many are being worked on, and too many are waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many reviews at once")]
pub struct Overloaded;

impl Gate {
    /// `in_flight` are worked on at once while up to `queue` wait.
    pub fn new(in_flight: usize, queue: usize) -> Self {
        Self {
            slots: Semaphore::new(in_flight.clamp(1, Semaphore::MAX_PERMITS)),
            large: Semaphore::new(LARGE_AT_ONCE),
            waiting: AtomicUsize::new(0),
            queue,
            received: AtomicU64::new(0),
        }
    }

    /// Waits for leave, at most until `deadline`. `size` is the body's in bytes, where it is known beforehand.
    pub async fn enter(&self, size: Option<u64>, deadline: Instant) -> Result<Pass<'_>, Overloaded> {
        let is_large = size.is_none_or(|size| size > LARGE);
        // The scarcer one first: who waits for it must not keep a slot from others.
        let large = if is_large {
            Some(self.take(&self.large, deadline).await?)
        } else {
            None
        };
        let slot = self.take(&self.slots, deadline).await?;
        self.received.fetch_add(size.unwrap_or(LARGE), Ordering::Relaxed);
        Ok(Pass {
            _slot: slot,
            _large: large,
        })
    }

    /// Bytes of all bodies that were let in so far; one of unknown size counts as the smallest large one.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    async fn take<'a>(&self, of: &'a Semaphore, deadline: Instant) -> Result<SemaphorePermit<'a>, Overloaded> {
        if let Ok(permit) = of.try_acquire() {
            return Ok(permit);
        }
        let _place = Place::take(&self.waiting, self.queue).ok_or(Overloaded)?;
        let permit = timeout_at(deadline, of.acquire()).await;
        permit.map_err(|_| Overloaded)?.map_err(|_| Overloaded)
    }
}

/// A place in the queue, given up when dropped: also when the client goes away.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, queue: usize) -> Option<Self> {
        let place = Self(waiting);
        // On the way out of here `place` gives back what it took.
        (waiting.fetch_add(1, Ordering::Relaxed) < queue).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_full_queue_turns_away_at_once_and_places_are_given_back() {
        let gate = Gate::new(1, 1);
        let far = Instant::now() + Duration::from_secs(60);
        let pass = gate.enter(Some(1), far).await.unwrap();
        {
            let mut waits = Box::pin(gate.enter(Some(1), far));
            assert!(futures::poll!(&mut waits).is_pending());
            assert_eq!(gate.enter(Some(1), far).await.unwrap_err(), Overloaded);
            drop(pass);
            waits.await.unwrap();
        }
        assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
        gate.enter(None, far).await.unwrap();
        // Who was turned away has sent nothing that counts.
        assert_eq!(gate.received(), 1 + 1 + LARGE);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_deadline() {
        let gate = Gate::new(1, 1);
        let _pass = gate.enter(Some(1), Instant::now()).await.unwrap();
        assert_eq!(gate.enter(Some(1), Instant::now()).await.unwrap_err(), Overloaded);
    }
}
