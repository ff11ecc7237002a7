//! Whether a candidate may take a Lease that it has read. Asks nobody.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use tokio::time::Instant;

/// What a candidate does about a Lease that it has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Makes it.
    Create,
    /// Takes it: nobody holds it, or whoever does has not renewed it.
    Take,
    /// Looks again.
    Wait,
}

/// What a candidate has seen last, and when it saw that for the first time.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) spec: LeaseSpec,
    at: Instant,
}

/// Decides. Pure but for what it remembers in `seen`.
pub(super) fn next(identity: &str, lease: Option<&Lease>, seen: &mut Option<Seen>, now: Instant) -> Next {
    let Some(lease) = lease else {
        *seen = None;
        return Next::Create;
    };
    let spec = lease.spec.clone().unwrap_or_default();
    let since = match seen {
        Some(seen) if seen.spec == spec => seen.at,
        _ => {
            *seen = Some(Seen {
                spec: spec.clone(),
                at: now,
            });
            now
        }
    };
    let holder = spec.holder_identity.as_deref().unwrap_or_default();
    let duration = u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
    let has_run_out = now.duration_since(since) >= Duration::from_secs(duration);
    if holder.is_empty() || holder == identity || has_run_out {
        Next::Take
    } else {
        Next::Wait
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

    use super::*;

    fn lease(holder: &str, seconds: i32, renewed: i64) -> Lease {
        Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()).filter(|holder| !holder.is_empty()),
                lease_duration_seconds: Some(seconds),
                renew_time: Some(MicroTime(Timestamp::from_second(renewed).unwrap())),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        }
    }

    #[tokio::test]
    async fn a_lease_is_taken_when_nobody_renews_it() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut seen = None;
        assert_eq!(next("b", None, &mut seen, at(0)), Next::Create);
        // However old it says that it is: only what is seen counts.
        assert_eq!(next("b", Some(&lease("a", 15, 0)), &mut seen, at(1)), Next::Wait);
        assert_eq!(next("b", Some(&lease("a", 15, 0)), &mut seen, at(15)), Next::Wait);
        assert_eq!(
            next("b", Some(&lease("a", 15, 1)), &mut seen, at(15)),
            Next::Wait,
            "renewed"
        );
        assert_eq!(next("b", Some(&lease("a", 15, 1)), &mut seen, at(29)), Next::Wait);
        assert_eq!(next("b", Some(&lease("a", 15, 1)), &mut seen, at(30)), Next::Take);
        assert_eq!(
            next("b", Some(&lease("", 15, 2)), &mut seen, at(31)),
            Next::Take,
            "given up"
        );
        assert_eq!(
            next("b", Some(&lease("b", 15, 3)), &mut seen, at(32)),
            Next::Take,
            "its own"
        );
        let spoilt = Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some("a".into()),
                lease_duration_seconds: Some(-1),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        };
        assert_eq!(
            next("b", Some(&spoilt), &mut seen, at(33)),
            Next::Take,
            "without a duration"
        );
    }
}
