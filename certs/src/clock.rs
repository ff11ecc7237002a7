//! The current time: the wall clock or a test's clock, combined with the API server's clock.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

/// A source of the current time.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    may_be_wrong: bool,
}

impl Clock {
    /// A clock that is assumed to be right.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            now: Arc::new(now),
            may_be_wrong: false,
        }
    }

    /// Marks the clock as possibly wrong, so that the API server's clock is considered too.
    #[must_use]
    pub fn possibly_wrong(mut self) -> Self {
        self.may_be_wrong = true;
        self
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// Whether the API server's clock must be considered.
    pub(crate) fn may_be_wrong(&self) -> bool {
        self.may_be_wrong
    }
}

impl Default for Clock {
    /// The wall clock; it stays right when the machine was suspended.
    fn default() -> Self {
        Self::new(Timestamp::now).possibly_wrong()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

/// The current time of the local clock and, if known, of the API server, which checks certificates with its own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The local clock.
    pub ours: Timestamp,
    /// The API server's clock at its latest response.
    pub theirs: Option<Timestamp>,
}

impl Moment {
    /// The time to use for decisions: the earlier of both.
    ///
    /// A replica whose clock is ahead would remove CAs that others need and issue certificates that are not valid yet. A
    /// replica whose clock is behind harms only itself.
    pub fn now(&self) -> Timestamp {
        self.theirs.map_or(self.ours, |theirs| theirs.min(self.ours))
    }

    /// The time with which API servers check our certificate.
    pub fn api_server_time(&self) -> Timestamp {
        self.theirs.unwrap_or(self.ours)
    }

    /// Whether `begin` is in the future according to the API server. The local clock alone may be behind.
    pub fn is_known_to_be_before(&self, begin: Timestamp) -> bool {
        self.theirs.is_some_and(|theirs| theirs < begin)
    }
}

impl From<Timestamp> for Moment {
    /// Uses only the local clock.
    fn from(ours: Timestamp) -> Self {
        Self { ours, theirs: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::after;

    #[test]
    fn the_earlier_clock_is_used_and_the_api_server_decides_what_is_in_the_future() {
        let at = |ours, theirs: Option<i64>| Moment {
            ours: after(ours),
            theirs: theirs.map(after),
        };
        for (moment, now, api_server_time, before) in [
            (at(10, None), 10, 10, false),
            (at(10, Some(20)), 10, 20, true),
            (at(20, Some(10)), 10, 10, true),
            (at(10, Some(30)), 10, 30, false),
            (at(30, Some(10)), 10, 10, true),
        ] {
            assert_eq!(
                (moment.now(), moment.api_server_time()),
                (after(now), after(api_server_time))
            );
            assert_eq!(moment.is_known_to_be_before(after(25)), before, "{moment:?}");
        }
    }
}
