//! When to reconcile again: periodically, and immediately after a change.
//!
//! If another controller reverts the bundle after each of our writes, both must not race. A token bucket limits
//! reconciliations caused by changes: a burst of [`BURST`], then one per period.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Most consecutive reconciliations caused by changes.
const BURST: u32 = 10;

/// Limits reconciliations caused by changes.
pub(crate) struct Backoff {
    period: Duration,
    tokens: u32,
    /// When the bucket was last refilled.
    refilled: Instant,
}

impl Backoff {
    /// Reconciles once per `period`, and sooner after changes.
    pub(crate) fn new(period: Duration) -> Self {
        Self {
            period,
            tokens: BURST,
            refilled: Instant::now(),
        }
    }

    /// Waits until it is time to reconcile again.
    pub(crate) async fn next(&mut self, changed: &Notify) {
        let next = Instant::now() + self.period;
        tokio::select! {
            () = sleep_until(next) => {}
            () = changed.notified() => {
                if !self.allow(Instant::now()) {
                    sleep_until(next).await;
                }
            }
        }
    }

    /// Takes a token, if one is left. One token is added per period.
    fn allow(&mut self, now: Instant) -> bool {
        while self.tokens < BURST && self.refilled + self.period <= now {
            self.refilled += self.period;
            self.tokens += 1;
        }
        if self.tokens == BURST {
            self.refilled = now;
        }
        let is_allowed = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(5);

    /// How many of `times` changes at intervals of `apart` are allowed.
    fn granted(backoff: &mut Backoff, from: Instant, times: u32, apart: Duration) -> u32 {
        (0..times).map(|n| u32::from(backoff.allow(from + n * apart))).sum()
    }

    #[test]
    fn a_burst_is_allowed_and_then_one_per_period() {
        let mut backoff = Backoff::new(EVERY);
        let begin = Instant::now();
        assert_eq!(granted(&mut backoff, begin, 1_000, Duration::ZERO), BURST);
        let hour = granted(&mut backoff, begin, 36_000, Duration::from_millis(100));
        assert_eq!(hour, 719, "one per period of an hour");
        let day = begin + Duration::from_secs(86_400);
        assert_eq!(
            granted(&mut backoff, day, 1_000, Duration::ZERO),
            BURST,
            "after a pause, one burst again"
        );
    }

    #[test]
    fn rare_changes_are_always_allowed() {
        let mut backoff = Backoff::new(EVERY);
        assert_eq!(granted(&mut backoff, Instant::now(), 100, EVERY), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn many_changes_cause_one_reconciliation() {
        let (mut backoff, changed) = (Backoff::new(EVERY), Notify::new());
        let begin = Instant::now();
        for _ in 0..50 {
            changed.notify_one();
        }
        backoff.next(&changed).await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        backoff.next(&changed).await;
        assert_eq!(begin.elapsed(), EVERY, "without a change, after one period");
    }

    #[tokio::test(start_paused = true)]
    async fn endless_changes_at_most_double_the_reconciliations() {
        let (mut backoff, changed) = (Backoff::new(EVERY), Notify::new());
        let begin = Instant::now();
        let mut reconciliations = 0;
        while begin.elapsed() < Duration::from_secs(3_600) {
            changed.notify_one();
            backoff.next(&changed).await;
            reconciliations += 1;
        }
        assert!(
            (720..=2 * 720 + BURST).contains(&reconciliations),
            "{reconciliations} in an hour"
        );
    }
}
