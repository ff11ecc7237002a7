//! Looks at the cluster every few seconds and carries out what the rotation asks for.
//!
//! The time is the wall clock's at every look, so a machine that was suspended finds out at its first, and the API server's
//! where that is earlier. Nothing is decided here; a look that fails is repeated at the next.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::ServerName;
use tokio::sync::watch;

use crate::authority::{Authority, Unusable};
use crate::bundle::Bundle;
use crate::clock::Moment;
use crate::leaf::Leaf;
use crate::policy::Policy;
use crate::published::{Configuration, Published, Seen};
use crate::resolver::Resolver;
use crate::rotation::{CaSecret, Held, Loss, Observation, Step, next_step};
use crate::status::Status;
use crate::store::Stored;
use crate::succession::Succession;

/// The most steps of one look. A rotation never needs half of them; a cluster that answers nonsense must not keep us
/// busy for ever.
const MOST_STEPS: usize = 24;

/// Why a step did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Somebody else wrote first; look again.
    #[error("written by somebody else in the meantime")]
    Conflict,
    /// The API server refused or could not be asked.
    #[error("{0}")]
    Cluster(#[source] Box<kube::Error>),
    /// No answer in time.
    #[error("no answer from the API server in time")]
    Deadline,
    /// A certificate or key.
    #[error(transparent)]
    Unusable(#[from] Unusable),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            _ => Self::Cluster(Box::new(error)),
        }
    }
}

/// What is to be read and written, wherever it is kept.
pub(crate) trait Cluster {
    /// What is published, what the API server's clock said, and what failed.
    async fn published(&self) -> (Published, Option<Timestamp>, Option<Failure>);
    async fn secret(&self) -> Result<Stored, Failure>;
    async fn create(&self, succession: &Succession) -> Result<(), Failure>;
    async fn update(&self, basis: &Stored, succession: &Succession) -> Result<(), Failure>;
    async fn publish(&self, bundle: &Bundle, targets: &[Configuration]) -> Result<(), Failure>;
    async fn report(&self, loss: &Loss, now: Timestamp);
}

/// One replica.
pub(crate) struct Keeper {
    names: Vec<ServerName<'static>>,
    policy: Policy,
    leaf: Option<Leaf>,
    observed: Option<Observation>,
    /// How far our clock was ahead of the API server's when both were read last.
    ahead: Option<SignedDuration>,
    resolver: Arc<Resolver>,
    status: watch::Sender<Status>,
}

impl Keeper {
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

    /// Looks, and takes steps until there are none left or one fails. `ours` is what our clock says.
    pub(crate) async fn look(&mut self, cluster: &impl Cluster, ours: Timestamp) {
        let (published, ca_not_after, failure) = self.work(cluster, ours).await;
        self.tell(&published, ca_not_after, failure, self.moment(ours));
    }

    /// The time, with what the API server's clock has to be by now.
    fn moment(&self, ours: Timestamp) -> Moment {
        let theirs = self.ahead.and_then(|ahead| ours.checked_sub(ahead).ok());
        Moment { ours, theirs }
    }

    /// Notes what the API server's clock said when ours said that.
    fn compare(&mut self, ours: Timestamp, theirs: Timestamp) {
        let far = |ahead: SignedDuration| ahead.abs() > self.policy.backdate / 2;
        let ahead = theirs.duration_until(ours);
        if far(ahead) && !self.ahead.is_some_and(far) {
            tracing::warn!(%ours, %theirs, "our clock and the API server's disagree; certificates go by the earlier");
        }
        self.ahead = Some(ahead);
    }

    /// What was published in the end, when the current CA ends, and what failed.
    pub(crate) async fn work(
        &mut self,
        cluster: &impl Cluster,
        ours: Timestamp,
    ) -> (Published, Option<Timestamp>, Option<Failure>) {
        let mut last = Published::default();
        let mut ca_not_after = None;
        let mut failure = None;
        for _ in 0..MOST_STEPS {
            // The configurations first: whatever the Secret said when they were written, we read it as new or newer, so
            // a bundle that we derive can be behind only if they change after this, which their version shows.
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
            if let CaSecret::Usable(succession) = &stored.state {
                ca_not_after = Some(succession.current.certificate().validity().not_after);
            }
            match self.steps(cluster, &stored, &last, self.moment(ours)).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(Failure::Conflict) => failure = Some(Failure::Conflict),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        (last, ca_not_after, failure)
    }

    /// Takes steps until one has changed the cluster (true) or none is left (false).
    async fn steps(
        &mut self,
        cluster: &impl Cluster,
        stored: &Stored,
        published: &Published,
        moment: Moment,
    ) -> Result<bool, Failure> {
        let now = moment.now();
        let mut held = Held {
            secret: stored.state.clone(),
            serving: None,
            observed: None,
        };
        for _ in 0..MOST_STEPS {
            held.serving = self.leaf.as_ref().map(|leaf| leaf.serving().clone());
            held.observed.clone_from(&self.observed);
            let step = next_step(&held, published, moment, &self.policy);
            if step == Step::Rest {
                return Ok(false);
            }
            tracing::debug!(?step, "certificates");
            match (step, &held.secret) {
                (Step::Observe(authority), _) => self.observed = Some(Observation { authority, since: now }),
                (Step::Unobserve, _) => self.observed = None,
                (Step::Serve, CaSecret::Usable(succession)) => {
                    match self.serve(&succession.current, now) {
                        // A CA that cannot vouch for our names is as good as none.
                        Err(why @ Unusable::Refused(_)) => held.secret = CaSecret::Unusable(why),
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

    fn serve(&mut self, authority: &Authority, now: Timestamp) -> Result<(), Unusable> {
        let leaf = Leaf::issue(authority, &self.names, now, &self.policy)?;
        tracing::info!(not_after = %leaf.serving().validity.not_after, "serving a new certificate");
        self.resolver.swap(leaf.certified());
        self.leaf = Some(leaf);
        Ok(())
    }

    async fn write(&self, step: Step, cluster: &impl Cluster, stored: &Stored, now: Timestamp) -> Result<(), Failure> {
        let mint = || Authority::mint(now, &self.policy);
        let succession = match (step, &stored.state) {
            (Step::Create { lost, keep }, _) => {
                cluster.create(&Succession::new(mint()?, keep)).await?;
                tracing::info!(?lost, "created the CA Secret");
                if let Some(loss) = lost {
                    cluster.report(&loss, now).await;
                }
                return Ok(());
            }
            (Step::Replace { lost, keep }, state) => {
                let succession = match state {
                    CaSecret::Usable(held) => held.clone().replaced(mint()?, keep),
                    _ => Succession::new(mint()?, keep),
                };
                cluster.update(stored, &succession).await?;
                tracing::warn!(?lost, "replaced the CA");
                cluster.report(&lost, now).await;
                return Ok(());
            }
            (Step::Publish { bundle, targets }, _) => {
                cluster.publish(&bundle, &targets).await?;
                tracing::info!(authorities = bundle.certificates().len(), "published the CA bundle");
                return Ok(());
            }
            (Step::MintNext, CaSecret::Usable(held)) => held.clone().with_next(mint()?),
            (Step::Promote, CaSecret::Usable(held)) => held.clone().promoted(),
            (Step::Remember(authority), CaSecret::Usable(held)) => held.clone().keeping(authority),
            (Step::Forget, CaSecret::Usable(held)) => held.clone().without_ended(now),
            // The rest is done without the cluster, or is never asked for without a CA.
            _ => return Ok(()),
        };
        cluster.update(stored, &succession).await
    }

    fn tell(&self, published: &Published, ca: Option<Timestamp>, failure: Option<Failure>, moment: Moment) {
        let trust = self.trust(published, moment.judged());
        if let Some(failure) = &failure {
            tracing::warn!(error = %failure, "certificates could not be looked after");
        }
        self.status.send_if_modified(|status| {
            let told = Status {
                serving_not_after: self.leaf.as_ref().map(|leaf| leaf.serving().validity.not_after),
                // A CA that cannot be read at the moment still ends when it did.
                ca_not_after: ca.or(status.ca_not_after),
                trusted: trust.is_ok(),
                last_error: failure.map(|failure| failure.to_string()).or(trust.err()),
                refused: None,
            };
            let changed = *status != told;
            *status = told;
            changed
        });
    }

    /// Whether every API server that reads these configurations accepts what we serve, or why not.
    fn trust(&self, published: &Published, now: Timestamp) -> Result<(), String> {
        let leaf = self.leaf.as_ref().ok_or("no serving certificate yet")?;
        if published.configurations.is_empty() {
            return Err("no webhook configuration is known".to_owned());
        }
        for Configuration { kind, name, seen } in &published.configurations {
            let refused = |why: String| format!("{kind:?}WebhookConfiguration {name}: {why}");
            match seen {
                Seen::Missing => return Err(refused("there is none".to_owned())),
                Seen::Unreadable => return Err(refused("it cannot be read".to_owned())),
                Seen::Found { entries, .. } => {
                    for entry in entries {
                        Bundle::parse(&entry.ca_bundle)
                            .verifies(leaf.certificate(), &self.names, now)
                            .map_err(|error| refused(format!("{}: {error}", entry.name)))?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
