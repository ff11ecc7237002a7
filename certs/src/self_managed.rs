//! Runs the `Rotator` against an API server.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use rustls::server::ResolvesServerCert;
use tokio::sync::{Notify, watch};

use crate::backoff::Backoff;
use crate::bundle::Bundle;
use crate::ca_set::CaSet;
use crate::clock::Clock;
use crate::configuration_watch::ConfigurationWatch;
use crate::deadline::in_time;
use crate::inject::Injector;
use crate::names::{InvalidName, Names};
use crate::policy::Policy;
use crate::published::{Configuration, Published};
use crate::resolver::Resolver;
use crate::rotation::ReplacementReason;
use crate::rotator::{Cluster, RotationError, Rotator};
use crate::status::Status;
use crate::store::{Store, StoredSecret};

/// The certificate source `self`: creates the CA, publishes it, serves a certificate that it signed, and rotates both.
pub struct SelfManaged {
    rotator: Rotator,
    cluster: ApiServer,
    changes: ConfigurationWatch,
    poll: Duration,
    clock: Clock,
}

impl SelfManaged {
    /// Reads and writes nothing before [`run`](Self::run).
    pub fn new(client: Client, names: &Names, policy: Policy, clock: Clock) -> Result<Self, InvalidName> {
        let poll = policy.poll;
        let rotator = Rotator::new(names.subject_alternative_names()?, policy);
        Ok(Self {
            rotator,
            changes: ConfigurationWatch::new(client.clone(), names),
            cluster: ApiServer::new(client, names, clock.may_be_wrong()),
            poll,
            clock,
        })
    }

    /// Resolves to the current certificate. Handshakes fail until one has been issued.
    pub fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::clone(self.rotator.resolver()) as Arc<Resolver>
    }

    /// The state after each reconciliation; notifies only of changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.rotator.status().subscribe()
    }

    /// Reconciles until `shutdown` completes. Errors are reported in the status and retried.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            mut rotator,
            cluster,
            changes,
            poll,
            clock,
        } = self;
        let changed = Notify::new();
        let reconcile = async {
            let mut backoff = Backoff::new(poll);
            loop {
                rotator.reconcile(&cluster, clock.now()).await;
                backoff.next(&changed).await;
            }
        };
        // If a write is cancelled here, the next reconciliation reads whether it succeeded.
        tokio::select! {
            biased;
            () = shutdown => {}
            () = changes.run(&changed) => {}
            () = reconcile => {}
        }
    }
}

struct ApiServer {
    store: Store,
    injector: Injector,
    events: Api<Event>,
    names: Names,
    /// Whether the API server's clock is considered.
    uses_server_clock: bool,
}

impl ApiServer {
    fn new(client: Client, names: &Names, uses_server_clock: bool) -> Self {
        Self {
            store: Store::new(client.clone(), names),
            injector: Injector::new(client.clone(), names),
            events: Api::namespaced(client, &names.namespace),
            names: names.clone(),
            uses_server_clock,
        }
    }
}

impl Cluster for ApiServer {
    async fn published(&self) -> (Published, Option<Timestamp>, Option<RotationError>) {
        let (published, clock, failure) = self.injector.read().await;
        (published, clock.filter(|_| self.uses_server_clock), failure)
    }

    async fn secret(&self) -> Result<StoredSecret, RotationError> {
        self.store.read().await
    }

    async fn create(&self, ca_set: &CaSet) -> Result<(), RotationError> {
        self.store.create(ca_set).await
    }

    async fn update(&self, basis: &StoredSecret, ca_set: &CaSet) -> Result<(), RotationError> {
        match &basis.basis {
            Some(secret) => self.store.update(secret, ca_set).await,
            None => Err(RotationError::Conflict),
        }
    }

    async fn publish(&self, bundle: &Bundle, targets: &[Configuration]) -> Result<(), RotationError> {
        self.injector.publish(bundle, targets).await
    }

    async fn report(&self, loss: &ReplacementReason, now: Timestamp) {
        let event = event(&self.names, loss, now);
        let sent = in_time(self.events.create(&PostParams::default(), &event)).await;
        if let Err(error) = sent {
            tracing::warn!(%error, "the Event about the CA could not be written");
        }
    }
}

/// The Event (events.k8s.io/v1) that reports why the CA was replaced.
fn event(names: &Names, loss: &ReplacementReason, now: Timestamp) -> Event {
    let (reason, cause) = match loss {
        ReplacementReason::SecretMissing => ("CASecretMissing", "it did not exist".to_owned()),
        ReplacementReason::SecretInvalid(why) => ("CASecretInvalid", format!("it was not valid: {why}")),
        ReplacementReason::Expired => ("CAExpired", "its CA had expired".to_owned()),
        ReplacementReason::NotYetValid(begin) => (
            "CANotYetValid",
            format!("its CA is valid only from {begin}, after the serving certificate expires"),
        ),
    };
    Event {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", names.secret)),
            namespace: Some(names.namespace.clone()),
            ..ObjectMeta::default()
        },
        action: Some("ReplaceCA".to_owned()),
        event_time: Some(MicroTime(now)),
        note: Some(format!(
            "A new CA was written to Secret {} because {cause}.",
            names.secret
        )),
        reason: Some(reason.to_owned()),
        regarding: Some(ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Secret".to_owned()),
            name: Some(names.secret.clone()),
            namespace: Some(names.namespace.clone()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(names.service.clone()),
        reporting_instance: Some(names.instance.clone()),
        type_: Some("Warning".to_owned()),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::CertificateError;
    use crate::testing::{names, start};

    #[test]
    fn an_event_names_the_reason_and_the_secret() {
        let new_status = |loss| {
            let event = event(&names(), &loss, start());
            let regarding = event.regarding.unwrap();
            assert_eq!(
                (regarding.kind.as_deref(), regarding.name.as_deref()),
                (Some("Secret"), Some("hook-ca"))
            );
            assert_eq!(event.metadata.namespace.as_deref(), Some("system"));
            assert_eq!(event.type_.as_deref(), Some("Warning"));
            assert_eq!(
                event.metadata.generate_name.as_deref(),
                Some("hook-ca-"),
                "a generateName must not end with a dot"
            );
            (event.reason.unwrap(), event.note.unwrap())
        };
        let (reason, note) = new_status(ReplacementReason::SecretMissing);
        assert_eq!(reason, "CASecretMissing");
        assert_eq!(note, "A new CA was written to Secret hook-ca because it did not exist.");
        let (reason, note) = new_status(ReplacementReason::SecretInvalid(CertificateError::Mismatch));
        assert_eq!(reason, "CASecretInvalid");
        assert!(
            note.ends_with("the private key does not match the certificate."),
            "{note}"
        );
        assert_eq!(new_status(ReplacementReason::Expired).0, "CAExpired");
        let (reason, note) = new_status(ReplacementReason::NotYetValid(start()));
        assert_eq!(reason, "CANotYetValid");
        assert!(note.contains("only from 2026-01-01T00:00:00Z"), "{note}");
    }
}
