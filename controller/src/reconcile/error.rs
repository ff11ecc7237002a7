//! What can go wrong between us and the API server, and when to try again.

use std::fmt;
use std::time::Duration;

/// First wait after a failure, doubled with each further one.
const FIRST: Duration = Duration::from_secs(1);

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(300);

/// A request that did not do what was wanted.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The API server answered with an error, or not at all.
    #[error("{class}: {source}")]
    Api {
        /// What to make of it.
        class: Class,
        /// For the log.
        source: Box<kube::Error>,
    },
    /// What was about to be used is not there any more; a closer look says what follows.
    #[error("{0} has gone meanwhile")]
    Vanished(String),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Deadline(Duration),
}

/// What kind of failure it is; also a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The resource is no more, or another one has its name. Nothing is left to do.
    Gone,
    /// We may not. Somebody has to change our rights.
    Denied,
    /// The API server does not take what we send; it may after an upgrade or another schema.
    Refused,
    /// The API server cannot answer now.
    Unavailable,
}

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl From<kube::Error> for Failure {
    fn from(source: kube::Error) -> Self {
        let class = match &source {
            kube::Error::Api(status) => Class::of(status.code),
            _ => Class::Unavailable,
        };
        Self::Api {
            class,
            source: Box::new(source),
        }
    }
}

impl Class {
    /// As a word, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }

    fn of(code: u16) -> Self {
        match code {
            404 | 409 | 410 => Self::Gone,
            401 | 403 => Self::Denied,
            408 | 429 | 500.. => Self::Unavailable,
            _ => Self::Refused,
        }
    }
}

impl Failure {
    /// What kind of failure it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Api { class, .. } => *class,
            Self::Vanished(_) => Class::Gone,
            Self::Deadline(_) => Class::Unavailable,
        }
    }
}

/// How long to wait after so many failures in a row (from 1), with `seed` spreading those who failed together over a
/// quarter of the wait.
pub fn wait(failures: u32, seed: u64) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    let wait = doubled.min(LONGEST);
    wait + wait / 4 * u32::try_from(seed % 1000).unwrap_or_default() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart() {
        for (code, class) in [
            (404, Class::Gone),
            (409, Class::Gone),
            (403, Class::Denied),
            (422, Class::Refused),
            (429, Class::Unavailable),
            (503, Class::Unavailable),
        ] {
            assert_eq!(Class::of(code), class, "{code}");
        }
    }

    #[test]
    fn waits_double_up_to_a_limit_and_are_spread() {
        assert_eq!(wait(1, 0), FIRST);
        assert_eq!(wait(3, 0), 4 * FIRST);
        assert_eq!(wait(u32::MAX, 0), LONGEST);
        assert!(wait(3, 999) > wait(3, 0) && wait(3, 999) < 5 * FIRST);
    }
}
