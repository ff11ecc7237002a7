//! Which tags are tracked after their import, and when they are looked up.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use cnbi_shared::config::{Config, Period};
use cnbi_shared::grammar::image::ImageReference;
use jiff::Timestamp;

use super::blockers::remaining;
use super::request::{Build, Request};

/// The longest delay after failures, unless the interval is longer.
const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// The last lookup of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastLookup {
    /// Time.
    pub at: Timestamp,
    /// Failed lookups in a row.
    pub failures: u32,
    /// `Retry-After` of the registry.
    pub retry_after: Duration,
}

/// The image whose tag is tracked: an import without a digest, if tracking is enabled.
pub fn tracked<'a>(request: &'a Request, config: &Config) -> Option<(&'a ImageReference, Period)> {
    let Build::Import { from_image } = &request.build else {
        return None;
    };
    let every = config.tracking.every()?;
    is_trackable(from_image).then_some((from_image, every))
}

/// Whether the image is named by a tag only, and not by a digest.
pub fn is_trackable(image: &ImageReference) -> bool {
    image.tag().is_some() && image.digest().is_none()
}

/// Time until the next lookup; `None` if it is due. `began` is when this process began to track the resource. The first lookups
/// are spread over the interval, so that a restart does not cause a burst; later ones over a tenth of it.
pub fn until_next_lookup(
    every: Period,
    uid: &str,
    began: Timestamp,
    last: Option<LastLookup>,
    now: Timestamp,
) -> Option<Duration> {
    let interval = every.as_duration();
    let Some(LastLookup {
        at,
        failures,
        retry_after,
    }) = last
    else {
        return remaining(began, share(interval, &(uid, 0_i64)), now);
    };
    let doubled = interval.saturating_mul(2_u32.saturating_pow(failures.min(16)));
    let wait = doubled.min(LONGEST.max(interval)).max(retry_after.min(LONGEST));
    remaining(at, wait + share(wait / 10, &(uid, at.as_second())), now)
}

/// A fraction of a duration, derived from the hash of the key.
fn share(of: Duration, key: &impl Hash) -> Duration {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let thousandths = u32::try_from(hasher.finish() % 1000).unwrap_or_default();
    of * thousandths / 1000
}

/// Whether a text is a SHA-256 digest: `sha256:` and 64 lowercase hexadecimal digits.
pub fn is_digest(text: &str) -> bool {
    let is_hex = |hex: &str| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    text.strip_prefix("sha256:").is_some_and(is_hex)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn first_lookups_are_spread_over_the_interval() {
        let every = Period::seconds(1000);
        let first = |uid: u32| until_next_lookup(every, &uid.to_string(), at(0), None, at(0)).unwrap_or_default();
        let waits: Vec<Duration> = (0..1000).map(first).collect();
        assert!(waits.iter().all(|wait| *wait < every.as_duration()));
        for tenth in 0..10 {
            let (from, to) = (Duration::from_secs(tenth * 100), Duration::from_secs(tenth * 100 + 100));
            let within = waits.iter().filter(|wait| (from..to).contains(*wait)).count();
            assert!((50..200).contains(&within), "{within} from {from:?}");
        }
        assert_eq!(until_next_lookup(every, "x", at(0), None, at(1000)), None);
    }

    #[test]
    fn later_lookups_keep_the_interval_and_back_off() {
        let every = Period::seconds(900);
        let wait = |failures, retry_after: u64| {
            let last = LastLookup {
                at: at(0),
                failures,
                retry_after: Duration::from_secs(retry_after),
            };
            until_next_lookup(every, "x", at(-5), Some(last), at(0))
                .unwrap()
                .as_secs()
        };
        assert!((900..990).contains(&wait(0, 0)));
        assert!((1800..1980).contains(&wait(1, 0)));
        assert!((6 * 3600..=6 * 3600 + 2160).contains(&wait(u32::MAX, 0)));
        assert!((3000..=3300).contains(&wait(0, 3000)));
        assert!(wait(0, u64::MAX) <= 6 * 3600 + 2160, "Retry-After is bounded");
        let long = Period::seconds(48 * 3600);
        let last = LastLookup {
            at: at(0),
            failures: 3,
            retry_after: Duration::ZERO,
        };
        let wait = until_next_lookup(long, "x", at(0), Some(last), at(0)).unwrap();
        assert!(wait >= long.as_duration());
        let earlier = at(0) - SignedDuration::from_hours(1);
        assert!(until_next_lookup(every, "x", at(0), Some(last), earlier).is_some());
    }
}
