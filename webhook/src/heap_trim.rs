//! Returns memory to the operating system after a burst of reviews.
//!
//! glibc by itself returns only what is above the last block in use, so a process would stay as large as it was in its busiest
//! moment.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::routes::Service;

/// How often to check whether a burst is over.
const INTERVAL: Duration = Duration::from_secs(1);

/// Bursts with fewer bytes than this per interval leave too little behind to be worth trimming.
const LEAST: u64 = 256 * 1024;

/// A burst is over when this many times less arrives than at its peak.
const DROP_FACTOR: u64 = 8;

/// Detects the end of a burst of reviews.
#[derive(Debug, Default)]
struct Burst {
    /// Bytes received until the last check.
    received: u64,
    /// Most bytes in one interval since the end of the last burst.
    peak: u64,
}

impl Burst {
    /// Whether a burst is over; true once for each. `received` is the total of bytes so far. Call it at equal intervals.
    fn is_over(&mut self, received: u64) -> bool {
        let now = received.saturating_sub(self.received);
        self.received = received;
        if now > self.peak / DROP_FACTOR {
            self.peak = self.peak.max(now);
            return false;
        }
        std::mem::take(&mut self.peak) >= LEAST
    }
}

/// Trims the heap at the end of each burst of reviews. Never returns.
pub async fn run(service: Arc<Service>) {
    let mut burst = Burst::default();
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if burst.is_over(service.concurrency_limit.received()) {
            trim();
            tracing::debug!("trimmed the heap after a burst of reviews");
        }
    }
}

/// Takes about a millisecond, in which other threads wait if they allocate.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "a function of the C library that no crate wraps")]
fn trim() {
    // SAFETY: it takes no pointer and frees nothing that is in use; glibc locks its arenas against other threads itself.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries have no such function.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checks at which a burst is over when so many bytes arrive before each.
    fn ends(bytes: &[u64]) -> Vec<usize> {
        let (mut burst, mut received) = (Burst::default(), 0);
        let is_over = |(check, bytes): (usize, &u64)| {
            received += bytes;
            burst.is_over(received).then_some(check)
        };
        bytes.iter().enumerate().filter_map(is_over).collect()
    }

    #[test]
    fn the_end_of_a_burst_is_reported_once() {
        assert_eq!(ends(&[0, LEAST, 0, 0, 0]), [2]);
        assert_eq!(ends(&[LEAST, LEAST * 3, LEAST, 1, 1, 0]), [3]);
        assert_eq!(ends(&[LEAST, 0, LEAST, 0]), [1, 3]);
    }

    #[test]
    fn a_steady_load_and_a_small_one_are_no_burst() {
        assert_eq!(ends(&[LEAST * 9; 20]), [0; 0]);
        assert_eq!(ends(&[LEAST - 1, 0, 1, 0, 5, 0]), [0; 0]);
        // It drops to a load that is no burst itself.
        assert_eq!(ends(&[LEAST * 9, LEAST, LEAST - 1, LEAST - 1, 0]), [1]);
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn trimming_returns_memory() {
        use crate::resident::resident;
        // Small blocks, so that none is mapped by itself, and the last one stays: glibc returns none of the others.
        let mut blocks: Vec<_> = (0..16_384).map(|_| vec![1_u8; 4096]).collect();
        let last = blocks.pop();
        drop(blocks);
        let before = resident();
        trim();
        let after = resident();
        assert!(before >= after + (32 << 20), "{before} bytes before, {after} after");
        drop(last);
    }
}
