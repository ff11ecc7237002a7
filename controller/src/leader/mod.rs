//! Which of several replicas does the work: the one that holds a Lease.
//!
//! The protocol is that of Kubernetes' own components (`k8s.io/client-go/tools/leaderelection`). Times of others are compared
//! with nothing: a candidate waits for as long as the Lease says from when *it* last saw it change, so clocks may differ. A
//! leader that could not renew for the *renewal deadline* stops before anybody else may begin, because that is shorter than
//! the Lease's duration. Every write carries the version that it is based on, so of two that take a Lease one fails.
//!
//! What a leader does is not the business of this file.

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

/// The longest time that one request may take.
const REQUEST: Duration = Duration::from_secs(5);

/// How often giving up is tried; others would otherwise wait until the Lease runs out.
const GIVE_UP_TRIES: u32 = 3;

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long others wait for a leader that does not renew.
    pub duration: Duration,
    /// How long a leader works on without renewing.
    pub renewal_deadline: Duration,
    /// How often a leader renews, and others look.
    pub retry: Duration,
}

impl Timing {
    /// Whether a leader stops before another one begins, with time to try more than once.
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

/// The time for which a candidate leads.
#[derive(Debug)]
pub struct Term {
    election: Election,
    lease: Lease,
    /// When the last renewal that worked was asked for.
    renewed: Instant,
}

/// What a replica is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It does not know yet.
    #[default]
    Unknown,
    /// Another one works.
    StandsBy,
    /// It works.
    Leads,
}

/// Why a term is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeadershipLost {
    /// The Lease is held by somebody else.
    To(String),
    /// The Lease was deleted, or says that nobody holds it: whoever comes first has it.
    Gone,
    /// It could not be renewed in time.
    Late,
}

impl fmt::Display for LeadershipLost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::To(holder) => write!(
                formatter,
                "the Lease is held by {}",
                cnbi_shared::verdict::printable(holder, 253)
            ),
            Self::Gone => formatter.write_str("the Lease was deleted or emptied"),
            Self::Late => formatter.write_str("the Lease could not be renewed in time"),
        }
    }
}

impl Election {
    /// A candidate for the Lease of that name. `identity` has to be another one for each start of a program.
    pub fn new(client: Client, namespace: &str, name: &str, identity: String, times: Timing) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity,
            times,
        }
    }

    /// Waits until it is this candidate's turn, however long that takes, and tells what it is there for meanwhile.
    pub async fn win(&self, role: &watch::Sender<Role>) -> Term {
        let mut observed = None;
        let mut held_by = None;
        loop {
            match self.attempt(&mut observed).await {
                Ok(Some(term)) => {
                    tracing::info!(lease = self.name, identity = self.identity, "leads");
                    role.send_replace(Role::Leads);
                    return term;
                }
                Ok(None) => {
                    role.send_replace(Role::StandsBy);
                    let holder = observed
                        .as_ref()
                        .and_then(|observed: &ObservedLease| observed.spec.holder_identity.clone());
                    if holder != held_by {
                        tracing::info!(lease = self.name, holder, "stands by");
                        held_by = holder;
                    }
                }
                Err(error) => tracing::warn!(lease = self.name, %error, "the Lease cannot be taken; trying again"),
            }
            sleep(self.times.retry).await;
        }
    }

    /// Looks once, and takes the Lease if it may. `None`: another one holds it, or was quicker.
    async fn attempt(&self, observed: &mut Option<ObservedLease>) -> Result<Option<Term>, kube::Error> {
        let lease = self.get().await?;
        let sent = Instant::now();
        let claimed = match (decide(&self.identity, lease.as_ref(), observed, sent), lease) {
            (Decision::Take, Some(lease)) => self.replace(&self.claimed(lease)).await,
            (Decision::Create, _) => self.create(&self.claimed(Lease::default())).await,
            (Decision::Wait | Decision::Take, _) => return Ok(None),
        };
        match claimed {
            Ok(lease) => Ok(Some(Term {
                election: self.clone(),
                lease,
                renewed: sent,
            })),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The Lease as it is once this candidate has it.
    fn claimed(&self, lease: Lease) -> Lease {
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

impl Term {
    /// Renews the Lease for as long as it is polled and can be. Once this returns, another one may begin: what the leader
    /// did has to have stopped by then, or to stop at once.
    pub async fn keep(&mut self) -> LeadershipLost {
        let times = self.election.times;
        loop {
            let until = self.renewed + times.renewal_deadline;
            sleep_until((Instant::now() + times.retry).min(until)).await;
            match timeout_at(until, self.renew()).await {
                Err(_) => return LeadershipLost::Late,
                Ok(Ok(None)) => {}
                Ok(Ok(Some(lost))) => return lost,
                Ok(Err(error)) => {
                    tracing::warn!(lease = self.election.name, %error, "the Lease cannot be renewed; trying again");
                    if Instant::now() >= until {
                        return LeadershipLost::Late;
                    }
                }
            }
        }
    }

    /// Renews once.
    async fn renew(&mut self) -> Result<Option<LeadershipLost>, kube::Error> {
        let sent = Instant::now();
        match self.election.replace(&self.election.claimed(self.lease.clone())).await {
            Ok(lease) => {
                self.lease = lease;
                self.renewed = sent;
                Ok(None)
            }
            // Somebody has changed it: who holds it now?
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
                    .map_or(LeadershipLost::Gone, LeadershipLost::To),
            )),
        }
    }

    /// Gives the Lease up, so that another one begins at its next look. What the leader did has to have stopped.
    pub async fn give_up(mut self) {
        for _ in 0..GIVE_UP_TRIES {
            let mut lease = self.election.claimed(self.lease.clone());
            if let Some(spec) = &mut lease.spec {
                spec.holder_identity = None;
                spec.acquire_time = None;
                spec.lease_duration_seconds = Some(1);
            }
            match self.election.replace(&lease).await {
                Ok(_) => return tracing::info!(lease = self.election.name, "gave the Lease up"),
                Err(error) => tracing::warn!(lease = self.election.name, %error, "the Lease could not be given up"),
            }
            match self.refresh().await {
                Ok(None) => {}
                Ok(Some(_)) => return,
                Err(_) => sleep(self.election.times.retry).await,
            }
        }
    }
}

/// A request with an end.
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
    fn a_leader_stops_before_another_one_begins() {
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
