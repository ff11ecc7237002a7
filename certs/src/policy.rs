//! Lifetimes of certificates and wait times of the rotation.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Lifetimes and wait times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Lifetime of a CA, from when it is issued.
    pub ca_life: SignedDuration,
    /// Lifetime of a serving certificate, from when it is issued.
    pub serving_life: SignedDuration,
    /// How far `notBefore` is in the past, for clients whose clocks are behind.
    pub backdate: SignedDuration,
    /// How long a CA must have been in every configuration before a certificate that it signed is served: the time that an
    /// API server may need to load a configuration.
    pub settle: SignedDuration,
    /// The time between two reconciliations.
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

/// The validity period of a certificate, both ends included, in whole seconds (RFC 5280, 4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// `notBefore`
    pub not_before: Timestamp,
    /// `notAfter`
    pub not_after: Timestamp,
}

impl Validity {
    /// From `backdate` before `now` until `life` after it, in whole seconds.
    pub(crate) fn starting(now: Timestamp, life: SignedDuration, policy: &Policy) -> Self {
        let whole = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Self {
            not_before: whole.saturating_sub(policy.backdate).unwrap_or(whole),
            not_after: whole.saturating_add(life).unwrap_or(whole),
        }
    }

    /// Whether it has expired.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now > self.not_after
    }

    /// Whether `now` is within the period.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.not_before <= now && !self.is_expired(now)
    }

    /// Whether at most a third of the lifetime is left.
    pub fn needs_renewal(&self, now: Timestamp) -> bool {
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
        let is_valid_at: Vec<i64> = (-1..=11).filter(|s| validity.is_valid_at(after(*s))).collect();
        assert_eq!(is_valid_at, (0..=10).collect::<Vec<_>>());
        assert!(!validity.is_expired(after(10)));
        assert!(validity.is_expired(after(11)));
    }

    #[test]
    fn renewal_is_needed_when_a_third_is_left() {
        let validity = Validity {
            not_before: after(0),
            not_after: after(900),
        };
        assert!(!validity.needs_renewal(after(599)));
        assert!(validity.needs_renewal(after(600)));
        assert!(validity.needs_renewal(after(901)));
    }

    #[test]
    fn extreme_times_do_not_panic() {
        let policy = Policy::default();
        for now in [Timestamp::MIN, Timestamp::MAX] {
            let validity = Validity::starting(now, policy.ca_life, &policy);
            assert!(validity.not_before <= validity.not_after);
        }
    }
}
