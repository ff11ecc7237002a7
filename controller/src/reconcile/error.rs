//! Errors of a reconcile, and the delay until the next one.

use std::fmt;
use std::time::Duration;

/// The first delay after an error, doubled with each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// The longest delay.
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// Why a reconcile failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server responded with an error, or not at all.
    #[error("{class}: {source}")]
    Api {
        /// Its class.
        class: ErrorClass,
        /// The error itself.
        source: Box<kube::Error>,
    },
    /// An object or entry was removed between read and write. The next reconcile reads again.
    #[error("{0} was removed during the reconcile")]
    Removed(String),
    /// The reconcile exceeded its deadline.
    #[error("reconcile did not finish within {0:?}")]
    Deadline(Duration),
}

/// Class of an error, also the label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The object does not exist any more, or was changed or replaced.
    Gone,
    /// The controller lacks a permission.
    Denied,
    /// The API server rejects the request as invalid.
    Rejected,
    /// The API server is unavailable.
    Unavailable,
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl From<kube::Error> for Error {
    fn from(source: kube::Error) -> Self {
        let class = match &source {
            kube::Error::Api(status) => ErrorClass::of(status.code),
            _ => ErrorClass::Unavailable,
        };
        Self::Api {
            class,
            source: Box::new(source),
        }
    }
}

impl ErrorClass {
    /// For logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Denied => "denied",
            Self::Rejected => "refused",
            Self::Unavailable => "unavailable",
        }
    }

    fn of(code: u16) -> Self {
        match code {
            404 | 409 | 410 => Self::Gone,
            401 | 403 => Self::Denied,
            408 | 429 | 500.. => Self::Unavailable,
            _ => Self::Rejected,
        }
    }
}

impl Error {
    /// Its class.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Api { class, .. } => *class,
            Self::Removed(_) => ErrorClass::Gone,
            Self::Deadline(_) => ErrorClass::Unavailable,
        }
    }
}

/// The delay after so many errors in a row, from 1. `seed` spreads resources that failed at the same time over a quarter of
/// the delay.
pub fn backoff(failures: u32, seed: u64) -> Duration {
    let doubled = FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    let delay = doubled.min(LONGEST_BACKOFF);
    delay + delay / 4 * u32::try_from(seed % 1000).unwrap_or_default() / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_codes_have_classes() {
        for (code, class) in [
            (404, ErrorClass::Gone),
            (409, ErrorClass::Gone),
            (403, ErrorClass::Denied),
            (422, ErrorClass::Rejected),
            (429, ErrorClass::Unavailable),
            (503, ErrorClass::Unavailable),
        ] {
            assert_eq!(ErrorClass::of(code), class, "{code}");
        }
    }

    #[test]
    fn delays_double_up_to_a_limit_and_are_spread() {
        assert_eq!(backoff(1, 0), FIRST_BACKOFF);
        assert_eq!(backoff(3, 0), 4 * FIRST_BACKOFF);
        assert_eq!(backoff(u32::MAX, 0), LONGEST_BACKOFF);
        assert!(backoff(3, 999) > backoff(3, 0) && backoff(3, 999) < 5 * FIRST_BACKOFF);
    }
}
