//! Says when to look at the cluster again: every little while, and at once when something is said to have changed.
//!
//! Someone else who keeps a bundle too, and changes it back whenever we write it, must not turn both into a race: changes can
//! ask for a few looks in a row, and then for no more than there would be without them.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// How many looks changes can ask for in a row.
const AT_ONCE: u32 = 10;

/// The rhythm of the looks.
pub(crate) struct Pace {
    every: Duration,
    left: u32,
    /// Since when the next one to be added to those that are left is being waited for.
    since: Instant,
}

impl Pace {
    /// A look `every` so often, and sooner when changes ask for it.
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            every,
            left: AT_ONCE,
            since: Instant::now(),
        }
    }

    /// Waits until it is time to look again.
    pub(crate) async fn look_again(&mut self, changed: &Notify) {
        let next = Instant::now() + self.every;
        tokio::select! {
            () = sleep_until(next) => {}
            () = changed.notified() => {
                if !self.may(Instant::now()) {
                    sleep_until(next).await;
                }
            }
        }
    }

    /// Whether a change may ask for a look now. One more may for each that would have been without it.
    fn may(&mut self, now: Instant) -> bool {
        while self.left < AT_ONCE && self.since + self.every <= now {
            self.since += self.every;
            self.left += 1;
        }
        if self.left == AT_ONCE {
            self.since = now;
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(5);

    /// How many of these, one after the other, may.
    fn granted(pace: &mut Pace, from: Instant, times: u32, apart: Duration) -> u32 {
        (0..times).map(|n| u32::from(pace.may(from + n * apart))).sum()
    }

    #[test]
    fn a_few_in_a_row_and_then_as_many_as_without_changes() {
        let mut pace = Pace::new(EVERY);
        let begin = Instant::now();
        assert_eq!(granted(&mut pace, begin, 1_000, Duration::ZERO), AT_ONCE);
        let hour = granted(&mut pace, begin, 36_000, Duration::from_millis(100));
        assert_eq!(
            hour, 719,
            "one for each of the looks of an hour that ends with the last of them"
        );
        let day = begin + Duration::from_secs(86_400);
        assert_eq!(
            granted(&mut pace, day, 1_000, Duration::ZERO),
            AT_ONCE,
            "a rest gives the few again and no more"
        );
    }

    #[test]
    fn what_comes_now_and_then_always_may() {
        let mut pace = Pace::new(EVERY);
        assert_eq!(granted(&mut pace, Instant::now(), 100, EVERY), 100);
    }

    /// Waits by a clock that stands still until nobody has anything else to do.
    #[tokio::test(start_paused = true)]
    async fn a_change_is_looked_at_once_and_many_are_one() {
        let (mut pace, changed) = (Pace::new(EVERY), Notify::new());
        let begin = Instant::now();
        for _ in 0..50 {
            changed.notify_one();
        }
        pace.look_again(&changed).await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        pace.look_again(&changed).await;
        assert_eq!(begin.elapsed(), EVERY, "without a change, it is the time");
    }

    #[tokio::test(start_paused = true)]
    async fn changes_without_end_ask_for_no_more_than_twice_the_looks() {
        let (mut pace, changed) = (Pace::new(EVERY), Notify::new());
        let begin = Instant::now();
        let mut looks = 0;
        while begin.elapsed() < Duration::from_secs(3_600) {
            changed.notify_one();
            pace.look_again(&changed).await;
            looks += 1;
        }
        assert!((720..=2 * 720 + AT_ONCE).contains(&looks), "{looks} looks in an hour");
    }
}
