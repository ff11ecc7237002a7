//! Gives back to the system what a burst of reviews has left behind in the allocator.
//!
//! glibc returns by itself only what lies above the last block in use, so a process would stay as large as it was in its busiest
//! moment. Bounds nothing: that is for [`crate::gate`].

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::http::Service;

/// How often to see whether a burst is over.
const LOOK: Duration = Duration::from_secs(1);

/// Fewer bytes than this between two looks leave nothing behind that would be worth the while.
const LEAST: u64 = 256 * 1024;

/// A burst is over when what comes in is so many times less than at its height.
const EBB: u64 = 8;

/// Tells when a burst of reviews is over.
#[derive(Debug, Default)]
struct Burst {
    /// Bytes that had come in at the last look.
    seen: u64,
    /// Most bytes between two looks, since the last burst was over.
    height: u64,
}

impl Burst {
    /// Whether one is over, once for each; `received` is all bytes that have come in so far. Asked at equal intervals.
    fn is_over(&mut self, received: u64) -> bool {
        let now = received.saturating_sub(self.seen);
        self.seen = received;
        if now > self.height / EBB {
            self.height = self.height.max(now);
            return false;
        }
        std::mem::take(&mut self.height) >= LEAST
    }
}

/// Gives memory back each time that a burst of reviews is over. Never ends.
pub async fn follow(service: Arc<Service>) {
    let mut burst = Burst::default();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if burst.is_over(service.gate.received()) {
            give_back();
            tracing::debug!("gave memory back after a burst of reviews");
        }
    }
}

/// Takes about a millisecond, in which other threads wait if they allocate.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "a function of the C library that no crate wraps")]
fn give_back() {
    // SAFETY: it takes no pointer and frees nothing that is in use; glibc locks its arenas against other threads itself.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries have no such function.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is answered when so many bytes come in, look for look.
    fn ends(bytes: &[u64]) -> Vec<usize> {
        let (mut burst, mut received) = (Burst::default(), 0);
        let is_over = |(look, bytes): (usize, &u64)| {
            received += bytes;
            burst.is_over(received).then_some(look)
        };
        bytes.iter().enumerate().filter_map(is_over).collect()
    }

    #[test]
    fn a_burst_is_over_once() {
        assert_eq!(ends(&[0, LEAST, 0, 0, 0]), [2]);
        assert_eq!(ends(&[LEAST, LEAST * 3, LEAST, 1, 1, 0]), [3]);
        assert_eq!(ends(&[LEAST, 0, LEAST, 0]), [1, 3]);
    }

    #[test]
    fn a_steady_stream_is_not_interrupted_and_a_trickle_is_no_burst() {
        assert_eq!(ends(&[LEAST * 9; 20]), [0; 0]);
        assert_eq!(ends(&[LEAST - 1, 0, 1, 0, 5, 0]), [0; 0]);
        // It ebbs to a stream that is no burst itself.
        assert_eq!(ends(&[LEAST * 9, LEAST, LEAST - 1, LEAST - 1, 0]), [1]);
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn memory_is_given_back() {
        let resident = || {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
        };
        // Small blocks, so that none is mapped by itself, and the last one stays: glibc gives back none of the others.
        let mut blocks: Vec<_> = (0..16_384).map(|_| vec![1_u8; 4096]).collect();
        let last = blocks.pop();
        drop(blocks);
        let before = resident();
        give_back();
        let after = resident();
        assert!(before >= after + (32 << 20), "{before} bytes before, {after} after");
        drop(last);
    }
}
