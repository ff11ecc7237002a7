//! Reconciles the certificates: reads the cluster, calls [`next_step`] and carries out its steps.
//!
//! Each reconciliation reads the clock anew. A reconciliation that fails is repeated at the next one.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::ServerName;
use tokio::sync::watch;

use crate::authority::{Authority, CertificateError};
use crate::bundle::Bundle;
use crate::ca_set::CaSet;
use crate::clock::Moment;
use crate::leaf::Leaf;
use crate::policy::Policy;
use crate::published::{Configuration, ConfigurationState, Published};
use crate::resolver::Resolver;
use crate::rotation::{CaSecret, ReplacementReason, ReplicaState, Step, TrustObservation, next_step};
use crate::status::Status;
use crate::store::StoredSecret;

/// Most steps of one reconciliation; a rotation needs less than half. Bounds the work if a cluster's responses make no sense.
const MAX_STEPS: usize = 24;

/// Why a step did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// Another client changed the object; reconcile again.
    #[error("the object has been changed by another client")]
    Conflict,
    /// The API server returned an error or is not reachable.
    #[error("{0}")]
    Cluster(#[source] Box<kube::Error>),
    /// The request timed out.
    #[error("the API server did not respond in time")]
    Deadline,
    /// A certificate or key.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl From<kube::Error> for RotationError {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            _ => Self::Cluster(Box::new(error)),
        }
    }
}

/// The cluster objects that the rotator reads and writes.
pub(crate) trait Cluster {
    /// The published configurations, the API server's clock, and the first error.
    async fn published(&self) -> (Published, Option<Timestamp>, Option<RotationError>);
    async fn secret(&self) -> Result<StoredSecret, RotationError>;
    async fn create(&self, ca_set: &CaSet) -> Result<(), RotationError>;
    async fn update(&self, basis: &StoredSecret, ca_set: &CaSet) -> Result<(), RotationError>;
    async fn publish(&self, bundle: &Bundle, targets: &[Configuration]) -> Result<(), RotationError>;
    async fn report(&self, loss: &ReplacementReason, now: Timestamp);
}

/// The rotation state of one replica.
pub(crate) struct Rotator {
    names: Vec<ServerName<'static>>,
    policy: Policy,
    leaf: Option<Leaf>,
    observed: Option<TrustObservation>,
    /// How far the local clock was ahead of the API server's at the latest response.
    ahead: Option<SignedDuration>,
    resolver: Arc<Resolver>,
    status: watch::Sender<Status>,
}

impl Rotator {
    pub(crate) fn new(names: Vec<ServerName<'static>>, policy: Policy) -> Self {
        Self {
            names,
            policy,
            leaf: None,
            observed: None,
            ahead: None,
            resolver: Arc::default(),
            status: watch::Sender::default(),
        }
    }

    pub(crate) fn resolver(&self) -> &Arc<Resolver> {
        &self.resolver
    }

    pub(crate) fn status(&self) -> &watch::Sender<Status> {
        &self.status
    }

    #[cfg(test)]
    pub(crate) fn leaf(&self) -> Option<&Leaf> {
        self.leaf.as_ref()
    }

    /// Carries out steps until none is left or one fails. `ours` is the local clock.
    pub(crate) async fn reconcile(&mut self, cluster: &impl Cluster, ours: Timestamp) {
        let (published, ca_not_after, failure) = self.work(cluster, ours).await;
        self.tell(&published, ca_not_after, failure, self.moment(ours));
    }

    /// The local clock, and the API server's clock extrapolated from its latest response.
    fn moment(&self, ours: Timestamp) -> Moment {
        let theirs = self.ahead.and_then(|ahead| ours.checked_sub(ahead).ok());
        Moment { ours, theirs }
    }

    /// Records the difference between the local clock and the API server's.
    fn compare(&mut self, ours: Timestamp, theirs: Timestamp) {
        let far = |ahead: SignedDuration| ahead.abs() > self.policy.backdate / 2;
        let ahead = theirs.duration_until(ours);
        if far(ahead) && !self.ahead.is_some_and(far) {
            tracing::warn!(%ours, %theirs, "the local clock and the API server's clock differ; using the earlier one for certificates");
        }
        self.ahead = Some(ahead);
    }

    /// Returns the configurations as last read, the expiry of the current CA, and the error if one occurred.
    pub(crate) async fn work(
        &mut self,
        cluster: &impl Cluster,
        ours: Timestamp,
    ) -> (Published, Option<Timestamp>, Option<RotationError>) {
        let mut last = Published::default();
        let mut ca_not_after = None;
        let mut failure = None;
        for _ in 0..MAX_STEPS {
            // The configurations are read before the Secret. A bundle derived from an older Secret can then only be written
            // if a configuration changed after it was read, and that causes a conflict.
            let (theirs, unread);
            (last, theirs, unread) = cluster.published().await;
            failure = unread;
            if let Some(theirs) = theirs {
                self.compare(ours, theirs);
            }
            let stored = match cluster.secret().await {
                Ok(stored) => stored,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            };
            if let CaSecret::Usable(ca_set) = &stored.state {
                ca_not_after = Some(ca_set.current.certificate().validity().not_after);
            }
            match self.steps(cluster, &stored, &last, self.moment(ours)).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(RotationError::Conflict) => failure = Some(RotationError::Conflict),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        (last, ca_not_after, failure)
    }

    /// Carries out steps until one has changed the cluster (true) or none is left (false).
    async fn steps(
        &mut self,
        cluster: &impl Cluster,
        stored: &StoredSecret,
        published: &Published,
        moment: Moment,
    ) -> Result<bool, RotationError> {
        let now = moment.now();
        let mut held = ReplicaState {
            secret: stored.state.clone(),
            serving: None,
            observed: None,
        };
        for _ in 0..MAX_STEPS {
            held.serving = self.leaf.as_ref().map(|leaf| leaf.serving().clone());
            held.observed.clone_from(&self.observed);
            let step = next_step(&held, published, moment, &self.policy);
            if step == Step::Wait {
                return Ok(false);
            }
            tracing::debug!(?step, "certificates");
            match (step, &held.secret) {
                (Step::RecordObservation(authority), _) => {
                    self.observed = Some(TrustObservation { authority, since: now });
                }
                (Step::ResetObservation, _) => self.observed = None,
                (Step::IssueServing, CaSecret::Usable(ca_set)) => {
                    match self.serve(&ca_set.current, now) {
                        // A CA that must not sign our names is unusable.
                        Err(why @ CertificateError::Rejected(_)) => held.secret = CaSecret::Invalid(why),
                        outcome => outcome?,
                    }
                }
                (step, _) => {
                    self.write(step, cluster, stored, now).await?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn serve(&mut self, authority: &Authority, now: Timestamp) -> Result<(), CertificateError> {
        let leaf = Leaf::issue(authority, &self.names, now, &self.policy)?;
        tracing::info!(not_after = %leaf.serving().validity.not_after, "serving a new certificate");
        self.resolver.swap(leaf.certified());
        self.leaf = Some(leaf);
        Ok(())
    }

    async fn write(
        &self,
        step: Step,
        cluster: &impl Cluster,
        stored: &StoredSecret,
        now: Timestamp,
    ) -> Result<(), RotationError> {
        let issue = || Authority::issue(now, &self.policy);
        let ca_set = match (step, &stored.state) {
            (Step::Create { reason, keep }, _) => {
                cluster.create(&CaSet::new(issue()?, keep)).await?;
                tracing::info!(?reason, "created the CA Secret");
                if let Some(loss) = reason {
                    cluster.report(&loss, now).await;
                }
                return Ok(());
            }
            (Step::Replace { reason, keep }, state) => {
                let ca_set = match state {
                    CaSecret::Usable(held) => held.clone().replaced(issue()?, keep),
                    _ => CaSet::new(issue()?, keep),
                };
                cluster.update(stored, &ca_set).await?;
                tracing::warn!(?reason, "replaced the CA");
                cluster.report(&reason, now).await;
                return Ok(());
            }
            (Step::Publish { bundle, targets }, _) => {
                cluster.publish(&bundle, &targets).await?;
                tracing::info!(authorities = bundle.certificates().len(), "published the CA bundle");
                return Ok(());
            }
            (Step::IssueNext, CaSecret::Usable(held)) => held.clone().with_next(issue()?),
            (Step::Promote, CaSecret::Usable(held)) => held.clone().promoted(),
            (Step::KeepTrust(authority), CaSecret::Usable(held)) => held.clone().with_served(authority),
            (Step::PruneExpired, CaSecret::Usable(held)) => held.clone().without_expired(now),
            // The other steps do not change the cluster, or do not occur without a CA.
            _ => return Ok(()),
        };
        cluster.update(stored, &ca_set).await
    }

    fn tell(&self, published: &Published, ca: Option<Timestamp>, failure: Option<RotationError>, moment: Moment) {
        let trust = self.trust(published, moment.api_server_time());
        if let Some(failure) = &failure {
            tracing::warn!(error = %failure, "the certificates could not be reconciled");
        }
        self.status.send_if_modified(|status| {
            let new_status = Status {
                serving_not_after: self.leaf.as_ref().map(|leaf| leaf.serving().validity.not_after),
                // Keep the last known expiry if the CA cannot be read.
                ca_not_after: ca.or(status.ca_not_after),
                trusted: trust.is_ok(),
                last_error: failure.map(|failure| failure.to_string()).or(trust.err()),
                rejected: None,
            };
            let changed = *status != new_status;
            *status = new_status;
            changed
        });
    }

    /// Whether every API server that uses these configurations accepts our certificate, or why not.
    fn trust(&self, published: &Published, now: Timestamp) -> Result<(), String> {
        let leaf = self.leaf.as_ref().ok_or("no serving certificate yet")?;
        if published.configurations.is_empty() {
            return Err("no webhook configuration has been read".to_owned());
        }
        for Configuration { kind, name, seen } in &published.configurations {
            let rejected = |why: String| format!("{kind:?}WebhookConfiguration {name}: {why}");
            match seen {
                ConfigurationState::Missing => return Err(rejected("there is none".to_owned())),
                ConfigurationState::Unreadable => return Err(rejected("it cannot be read".to_owned())),
                ConfigurationState::Found { entries, .. } => {
                    for entry in entries {
                        Bundle::parse(&entry.ca_bundle)
                            .verifies(leaf.certificate(), &self.names, now)
                            .map_err(|error| rejected(format!("{}: {error}", entry.name)))?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "rotator_tests.rs"]
mod tests;
