//! Leader election: the replica that holds a Lease works, the others are on standby.
//!
//! The protocol is that of `k8s.io/client-go/tools/leaderelection`, which tolerates clock skew: a candidate never compares its clock
//! with timestamps of others, but waits for the duration of the Lease from when it last observed a change. The renewal deadline is
//! shorter than that duration, so a leader that cannot renew stops before another one starts. Each write has the resource version
//! as a precondition, so only one of two concurrent candidates succeeds.

mod decision;

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use self::decision::{Decision, ObservedLease, decide};

/// Timeout of one request.
const REQUEST: Duration = Duration::from_secs(5);

/// Attempts to release the Lease; without a release the others wait until it expires.
const RELEASE_ATTEMPTS: u32 = 3;

/// Durations of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long others wait for a leader that does not renew the Lease.
    pub duration: Duration,
    /// How long a leader continues without a renewal.
    pub renewal_deadline: Duration,
    /// How often a leader renews, and others read the Lease.
    pub retry: Duration,
}

impl Timing {
    /// Whether a leader stops before another one starts, with time for more than one renewal.
    pub fn are_sound(self) -> bool {
        !self.retry.is_zero() && self.renewal_deadline < self.duration && self.retry * 2 <= self.renewal_deadline
    }
}

/// A candidate.
#[derive(Clone, Debug)]
pub struct Election {
    leases: Api<Lease>,
    name: String,
    identity: String,
    times: Timing,
}

/// Leadership of this replica.
#[derive(Debug)]
pub struct Leadership {
    election: Election,
    lease: Lease,
    /// Start of the last successful renewal.
    renewed: Instant,
}

/// Role of a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// The Lease was not read yet.
    #[default]
    Unknown,
    /// Another replica is the leader.
    Standby,
    /// This replica is the leader.
    Leader,
}

/// Why leadership was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeadershipLost {
    /// Another replica holds the Lease.
    HeldBy(String),
    /// The Lease was deleted, or its holder was removed.
    Released,
    /// It could not be renewed in time.
    Expired,
}

impl fmt::Display for LeadershipLost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeldBy(holder) => write!(
                formatter,
                "the Lease is held by {}",
                cnbi_shared::verdict::printable(holder, 253)
            ),
            Self::Released => formatter.write_str("the Lease was deleted, or its holder was removed"),
            Self::Expired => formatter.write_str("the Lease could not be renewed in time"),
        }
    }
}

impl Election {
    /// A candidate for the Lease of that name. `identity` must be unique for each start of a process.
    pub fn new(client: Client, namespace: &str, name: &str, identity: String, times: Timing) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
            times,
        }
    }

    /// Waits until this candidate holds the Lease. Publishes its role meanwhile.
    pub async fn acquire(&self, role: &watch::Sender<Role>) -> Leadership {
        let mut observed = None;
        let mut held_by = None;
        loop {
            match self.attempt(&mut observed).await {
                Ok(Some(term)) => {
                    tracing::info!(lease = self.name, identity = self.identity, "became leader");
                    role.send_replace(Role::Leader);
                    return term;
                }
                Ok(None) => {
                    role.send_replace(Role::Standby);
                    let holder = observed
                        .as_ref()
                        .and_then(|observed: &ObservedLease| observed.spec.holder_identity.clone());
                    if holder != held_by {
                        tracing::info!(lease = self.name, holder, "standby");
                        held_by = holder;
                    }
                }
                Err(error) => tracing::warn!(lease = self.name, %error, "cannot acquire the Lease; retrying"),
            }
            sleep(self.times.retry).await;
        }
    }

    /// One attempt to acquire the Lease. `None` if another replica holds it or was faster.
    async fn attempt(&self, observed: &mut Option<ObservedLease>) -> Result<Option<Leadership>, kube::Error> {
        let lease = self.get().await?;
        let sent = Instant::now();
        let with_holder = match (decide(&self.identity, lease.as_ref(), observed, sent), lease) {
            (Decision::Take, Some(lease)) => self.replace(&self.with_holder(lease)).await,
            (Decision::Create, _) => self.create(&self.with_holder(Lease::default())).await,
            (Decision::Wait | Decision::Take, _) => return Ok(None),
        };
        match with_holder {
            Ok(lease) => Ok(Some(Leadership {
                election: self.clone(),
                lease,
                renewed: sent,
            })),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The Lease with this candidate as its holder.
    fn with_holder(&self, lease: Lease) -> Lease {
        let before = lease.spec.unwrap_or_default();
        let now = MicroTime(Timestamp::now());
        let is_ours = before.holder_identity.as_deref() == Some(&self.identity);
        let transitions = before.lease_transitions.unwrap_or_default();
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..lease.metadata
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: Some(i32::try_from(self.times.duration.as_secs()).unwrap_or(i32::MAX)),
                acquire_time: before.acquire_time.filter(|_| is_ours).or_else(|| Some(now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(transitions.saturating_add(i32::from(!is_ours))),
                ..LeaseSpec::default()
            }),
        }
    }

    async fn get(&self) -> Result<Option<Lease>, kube::Error> {
        with_deadline(Instant::now() + REQUEST, self.leases.get_opt(&self.name)).await
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, kube::Error> {
        with_deadline(
            Instant::now() + REQUEST,
            self.leases.create(&PostParams::default(), lease),
        )
        .await
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, kube::Error> {
        let params = PostParams::default();
        with_deadline(
            Instant::now() + REQUEST,
            self.leases.replace(&self.name, &params, lease),
        )
        .await
    }
}

impl Leadership {
    /// Renews the Lease until leadership is lost. When this returns, another replica may start, so all work must stop at once.
    pub async fn renew_until_lost(&mut self) -> LeadershipLost {
        let times = self.election.times;
        loop {
            let until = self.renewed + times.renewal_deadline;
            sleep_until((Instant::now() + times.retry).min(until)).await;
            match timeout_at(until, self.renew()).await {
                Err(_) => return LeadershipLost::Expired,
                Ok(Ok(None)) => {}
                Ok(Ok(Some(lost))) => return lost,
                Ok(Err(error)) => {
                    tracing::warn!(lease = self.election.name, %error, "cannot renew the Lease; retrying");
                    if Instant::now() >= until {
                        return LeadershipLost::Expired;
                    }
                }
            }
        }
    }

    /// Renews once.
    async fn renew(&mut self) -> Result<Option<LeadershipLost>, kube::Error> {
        let sent = Instant::now();
        match self
            .election
            .replace(&self.election.with_holder(self.lease.clone()))
            .await
        {
            Ok(lease) => {
                self.lease = lease;
                self.renewed = sent;
                Ok(None)
            }
            // The Lease was changed: read its holder.
            Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => self.refresh().await,
            Err(error) => Err(error),
        }
    }

    async fn refresh(&mut self) -> Result<Option<LeadershipLost>, kube::Error> {
        let lease = self.election.get().await?;
        let holder = lease
            .as_ref()
            .and_then(|lease| lease.spec.as_ref()?.holder_identity.clone());
        match lease {
            Some(lease) if holder.as_ref() == Some(&self.election.identity) => {
                self.lease = lease;
                Ok(None)
            }
            _ => Ok(Some(
                holder
                    .filter(|holder| !holder.is_empty())
                    .map_or(LeadershipLost::Released, LeadershipLost::HeldBy),
            )),
        }
    }

    /// Releases the Lease, so that another replica starts at once. All work must have stopped.
    pub async fn release(mut self) {
        for _ in 0..RELEASE_ATTEMPTS {
            let mut lease = self.election.with_holder(self.lease.clone());
            if let Some(spec) = &mut lease.spec {
                spec.holder_identity = None;
                spec.acquire_time = None;
                spec.lease_duration_seconds = Some(1);
            }
            match self.election.replace(&lease).await {
                Ok(_) => return tracing::info!(lease = self.election.name, "released the Lease"),
                Err(error) => tracing::warn!(lease = self.election.name, %error, "cannot release the Lease"),
            }
            match self.refresh().await {
                Ok(None) => {}
                Ok(Some(_)) => return,
                Err(_) => sleep(self.election.times.retry).await,
            }
        }
    }
}

/// A request with a deadline.
async fn with_deadline<T>(
    until: Instant,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, kube::Error> {
    match timeout_at(until, request).await {
        Ok(answer) => answer,
        Err(late) => Err(kube::Error::Service(Box::new(late))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_stops_before_another_one_starts() {
        let times = |duration, deadline, retry| Timing {
            duration: Duration::from_secs(duration),
            renewal_deadline: Duration::from_secs(deadline),
            retry: Duration::from_secs(retry),
        };
        assert!(times(15, 10, 2).are_sound());
        assert!(!times(10, 10, 2).are_sound());
        assert!(!times(15, 3, 2).are_sound());
        assert!(!times(15, 10, 0).are_sound());
    }
}
