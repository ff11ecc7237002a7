//! Whether a candidate may acquire a Lease. Pure.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use tokio::time::Instant;

/// What a candidate does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Creates the Lease.
    Create,
    /// Acquires the Lease: it has no holder, or the holder has not renewed it in time.
    Take,
    /// Reads the Lease again later.
    Wait,
}

/// The last observed Lease, and when its current content was first observed.
#[derive(Clone, Debug)]
pub(super) struct ObservedLease {
    pub(super) spec: LeaseSpec,
    at: Instant,
}

/// Decides, and updates `observed`.
pub(super) fn decide(
    identity: &str,
    lease: Option<&Lease>,
    observed: &mut Option<ObservedLease>,
    now: Instant,
) -> Decision {
    let Some(lease) = lease else {
        *observed = None;
        return Decision::Create;
    };
    let spec = lease.spec.clone().unwrap_or_default();
    let since = match observed {
        Some(observed) if observed.spec == spec => observed.at,
        _ => {
            *observed = Some(ObservedLease {
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
        Decision::Take
    } else {
        Decision::Wait
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
        let mut observed = None;
        assert_eq!(decide("b", None, &mut observed, at(0)), Decision::Create);
        // The timestamps in the Lease are ignored.
        assert_eq!(
            decide("b", Some(&lease("a", 15, 0)), &mut observed, at(1)),
            Decision::Wait
        );
        assert_eq!(
            decide("b", Some(&lease("a", 15, 0)), &mut observed, at(15)),
            Decision::Wait
        );
        assert_eq!(
            decide("b", Some(&lease("a", 15, 1)), &mut observed, at(15)),
            Decision::Wait,
            "renewed"
        );
        assert_eq!(
            decide("b", Some(&lease("a", 15, 1)), &mut observed, at(29)),
            Decision::Wait
        );
        assert_eq!(
            decide("b", Some(&lease("a", 15, 1)), &mut observed, at(30)),
            Decision::Take
        );
        assert_eq!(
            decide("b", Some(&lease("", 15, 2)), &mut observed, at(31)),
            Decision::Take,
            "given up"
        );
        assert_eq!(
            decide("b", Some(&lease("b", 15, 3)), &mut observed, at(32)),
            Decision::Take,
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
            decide("b", Some(&spoilt), &mut observed, at(33)),
            Decision::Take,
            "without a duration"
        );
    }
}
