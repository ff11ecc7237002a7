//! Which tags are followed after they were imported, and when their registries are asked. Pure; asks nobody.
//!
//! What a new digest means is for [`super::plan`].

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use cnbi_shared::config::{Config, Period};
use cnbi_shared::grammar::image::ImageReference;
use jiff::Timestamp;

use super::blockers::remaining;
use super::request::{Build, Request};

/// The longest wait after failures, unless the interval itself is longer.
const LONGEST: Duration = Duration::from_secs(6 * 3600);

/// The last question to a registry, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastLookup {
    /// When.
    pub at: Timestamp,
    /// How many questions in a row got no digest for an answer.
    pub failures: u32,
    /// The least time that the registry itself asked us to wait.
    pub retry_after: Duration,
}

/// The image whose tag is followed: an imported one that is named by its tag alone, where the configuration asks for it.
pub fn tracked<'a>(request: &'a Request, config: &Config) -> Option<(&'a ImageReference, Period)> {
    let Build::Import { from_image } = &request.build else {
        return None;
    };
    let every = config.tracking.every()?;
    is_trackable(from_image).then_some((from_image, every))
}

/// It is named by a tag, which may come to name another image, and not by a digest.
pub fn is_trackable(image: &ImageReference) -> bool {
    image.tag().is_some() && image.digest().is_none()
}

/// How long until the registry is to be asked; `None`: now. `began` is when this program began to follow the resource:
/// the first question is asked at a moment of the interval that is the resource's own, so that a restart asks no registry
/// about everything at once. Later ones are spread over a tenth of it.
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

/// A part of a length of time, as good as random for each key.
fn share(of: Duration, key: &impl Hash) -> Duration {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let thousandths = u32::try_from(hasher.finish() % 1000).unwrap_or_default();
    of * thousandths / 1000
}

/// Whether a text is a digest of SHA-256, as registries have it.
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
    fn first_questions_are_spread_over_the_interval() {
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
    fn later_ones_keep_the_interval_and_back_off() {
        let every = Period::seconds(900);
        let wait = |failures, told: u64| {
            let asked = LastLookup {
                at: at(0),
                failures,
                retry_after: Duration::from_secs(told),
            };
            until_next_lookup(every, "x", at(-5), Some(asked), at(0))
                .unwrap()
                .as_secs()
        };
        assert!((900..990).contains(&wait(0, 0)));
        assert!((1800..1980).contains(&wait(1, 0)));
        assert!((6 * 3600..=6 * 3600 + 2160).contains(&wait(u32::MAX, 0)));
        assert!((3000..=3300).contains(&wait(0, 3000)));
        assert!(
            wait(0, u64::MAX) <= 6 * 3600 + 2160,
            "a registry cannot silence us for ever"
        );
        let long = Period::seconds(48 * 3600);
        let asked = LastLookup {
            at: at(0),
            failures: 3,
            retry_after: Duration::ZERO,
        };
        let wait = until_next_lookup(long, "x", at(0), Some(asked), at(0)).unwrap();
        assert!(wait >= long.as_duration());
        let earlier = at(0) - SignedDuration::from_hours(1);
        assert!(until_next_lookup(every, "x", at(0), Some(asked), earlier).is_some());
    }
}
