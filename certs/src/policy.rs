//! How long certificates live and how patient a rotation is.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Lifetimes and waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The life of a CA from the moment it is made.
    pub ca_life: SignedDuration,
    /// The life of a serving certificate from the moment it is made.
    pub serving_life: SignedDuration,
    /// How far `notBefore` lies in the past, for clocks that are behind ours.
    pub backdate: SignedDuration,
    /// How long a CA must have been seen in every configuration before a certificate of its making may be served:
    /// the time that an API server may take to load a configuration.
    pub settle: SignedDuration,
    /// The time between two looks at the cluster.
    pub poll: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ca_life: SignedDuration::from_hours(365 * 24),
            serving_life: SignedDuration::from_hours(7 * 24),
            backdate: SignedDuration::from_hours(1),
            settle: SignedDuration::from_mins(1),
            poll: Duration::from_secs(5),
        }
    }
}

/// From when to when a certificate holds, both ends included, in whole seconds (RFC 5280, 4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: Timestamp,
    /// The last moment.
    pub not_after: Timestamp,
}

impl Validity {
    /// From `backdate` before `now` until `life` after it, on whole seconds as certificates are.
    pub(crate) fn starting(now: Timestamp, life: SignedDuration, policy: &Policy) -> Self {
        let whole = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Self {
            not_before: whole.saturating_sub(policy.backdate).unwrap_or(whole),
            not_after: whole.saturating_add(life).unwrap_or(whole),
        }
    }

    /// Whether its last moment has gone by.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now > self.not_after
    }

    /// Whether it holds at this moment.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.not_before <= now && !self.is_over(now)
    }

    /// Whether no more than a third of the life is left.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let life = self.not_before.duration_until(self.not_after);
        now.duration_until(self.not_after) <= life / 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{after, start};

    #[test]
    fn validity_is_backdated_and_on_whole_seconds() {
        let policy = Policy::default();
        let now = start() + SignedDuration::from_millis(1_700);
        let validity = Validity::starting(now, policy.serving_life, &policy);
        assert_eq!(validity.not_before, after(1 - 3_600));
        assert_eq!(validity.not_after, after(1 + 7 * 86_400));
    }

    #[test]
    fn both_ends_are_included() {
        let validity = Validity {
            not_before: after(0),
            not_after: after(10),
        };
        let holds: Vec<i64> = (-1..=11).filter(|s| validity.holds(after(*s))).collect();
        assert_eq!(holds, (0..=10).collect::<Vec<_>>());
        assert!(!validity.is_over(after(10)));
        assert!(validity.is_over(after(11)));
    }

    #[test]
    fn due_when_a_third_is_left() {
        let validity = Validity {
            not_before: after(0),
            not_after: after(900),
        };
        assert!(!validity.is_due(after(599)));
        assert!(validity.is_due(after(600)));
        assert!(validity.is_due(after(901)));
    }

    #[test]
    fn the_ends_of_time_do_not_panic() {
        let policy = Policy::default();
        for now in [Timestamp::MIN, Timestamp::MAX] {
            let validity = Validity::starting(now, policy.ca_life, &policy);
            assert!(validity.not_before <= validity.not_after);
        }
    }
}
