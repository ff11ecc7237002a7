//! The time, wherever it comes from: the wall clock, or whatever a test says it is; and what an API server's clock says beside it.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

/// Says what time it is.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    is_doubted: bool,
}

impl Clock {
    /// A clock that is right by definition.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self {
            now: Arc::new(now),
            is_doubted: false,
        }
    }

    /// A clock that may be off, so that what an API server says counts as well.
    #[must_use]
    pub fn doubted(mut self) -> Self {
        self.is_doubted = true;
        self
    }

    /// What it says.
    pub fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// Whether it may be off.
    pub(crate) fn is_doubted(&self) -> bool {
        self.is_doubted
    }
}

impl Default for Clock {
    /// The wall clock, so that a machine that was suspended finds out at once.
    fn default() -> Self {
        Self::new(Timestamp::now).doubted()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

/// A moment by our clock and, where it is known, by that of an API server, which judges certificates by its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// What our clock says.
    pub ours: Timestamp,
    /// What the API server's said when we read from it.
    pub theirs: Option<Timestamp>,
}

impl Moment {
    /// The time to go by: the earlier of both.
    ///
    /// Whoever is ahead takes for ended what others rely on, and makes what does not hold yet. Whoever is behind makes what
    /// has ended already, and harms nobody but himself.
    pub fn now(&self) -> Timestamp {
        self.theirs.map_or(self.ours, |theirs| theirs.min(self.ours))
    }

    /// The time by which API servers judge what we serve.
    pub fn judged(&self) -> Timestamp {
        self.theirs.unwrap_or(self.ours)
    }

    /// Whether `begin` is known to be still to come where certificates are judged. A clock of ours that says so may be behind.
    pub fn is_known_before(&self, begin: Timestamp) -> bool {
        self.theirs.is_some_and(|theirs| theirs < begin)
    }
}

impl From<Timestamp> for Moment {
    /// By our clock alone.
    fn from(ours: Timestamp) -> Self {
        Self { ours, theirs: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::after;

    #[test]
    fn the_earlier_clock_counts_and_the_future_is_what_an_api_server_calls_so() {
        let at = |ours, theirs: Option<i64>| Moment {
            ours: after(ours),
            theirs: theirs.map(after),
        };
        for (moment, now, judged, before) in [
            (at(10, None), 10, 10, false),
            (at(10, Some(20)), 10, 20, true),
            (at(20, Some(10)), 10, 10, true),
            (at(10, Some(30)), 10, 30, false),
            (at(30, Some(10)), 10, 10, true),
        ] {
            assert_eq!((moment.now(), moment.judged()), (after(now), after(judged)));
            assert_eq!(moment.is_known_before(after(25)), before, "{moment:?}");
        }
    }
}
