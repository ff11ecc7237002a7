//! Certificates that the program makes and registers by itself, against a real API server.
//!
//! The shell around the keeper: a client, a clock, a deadline. It decides nothing.

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

use crate::bundle::Bundle;
use crate::changes::Changes;
use crate::clock::Clock;
use crate::deadline::in_time;
use crate::inject::Injector;
use crate::keeper::{Cluster, Failure, Keeper};
use crate::names::{InvalidName, Names};
use crate::pace::Pace;
use crate::policy::Policy;
use crate::published::{Configuration, Published};
use crate::resolver::Resolver;
use crate::rotation::Loss;
use crate::status::Status;
use crate::store::{Store, Stored};
use crate::succession::Succession;

/// The source `self`: makes the CA, publishes it, serves from it, and replaces it in time.
pub struct SelfManaged {
    keeper: Keeper,
    cluster: ApiServer,
    changes: Changes,
    poll: Duration,
    clock: Clock,
}

impl SelfManaged {
    /// Prepares; nothing is read or written before [`run`](Self::run).
    pub fn new(client: Client, names: &Names, policy: Policy, clock: Clock) -> Result<Self, InvalidName> {
        let poll = policy.poll;
        let keeper = Keeper::new(names.subject_alternative_names()?, policy);
        Ok(Self {
            keeper,
            changes: Changes::new(client.clone(), names),
            cluster: ApiServer::new(client, names, clock.is_doubted()),
            poll,
            clock,
        })
    }

    /// The certificate to serve, now and after each renewal. Refuses handshakes until there is one.
    pub fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::clone(self.keeper.resolver()) as Arc<Resolver>
    }

    /// What is known after each look; changes only when something has changed.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.keeper.status().subscribe()
    }

    /// Looks after the certificates until `shutdown` is done. Failures are told in the status and tried again.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            mut keeper,
            cluster,
            changes,
            poll,
            clock,
        } = self;
        let changed = Notify::new();
        let look = async {
            let mut pace = Pace::new(poll);
            loop {
                keeper.look(&cluster, clock.now()).await;
                pace.look_again(&changed).await;
            }
        };
        // A write that is cut off has happened or has not; whoever looks next sees which.
        tokio::select! {
            biased;
            () = shutdown => {}
            () = changes.tell(&changed) => {}
            () = look => {}
        }
    }
}

struct ApiServer {
    store: Store,
    injector: Injector,
    events: Api<Event>,
    names: Names,
    /// Whether its clock counts.
    tells_time: bool,
}

impl ApiServer {
    fn new(client: Client, names: &Names, tells_time: bool) -> Self {
        Self {
            store: Store::new(client.clone(), names),
            injector: Injector::new(client.clone(), names),
            events: Api::namespaced(client, &names.namespace),
            names: names.clone(),
            tells_time,
        }
    }
}

impl Cluster for ApiServer {
    async fn published(&self) -> (Published, Option<Timestamp>, Option<Failure>) {
        let (published, clock, failure) = self.injector.read().await;
        (published, clock.filter(|_| self.tells_time), failure)
    }

    async fn secret(&self) -> Result<Stored, Failure> {
        self.store.read().await
    }

    async fn create(&self, succession: &Succession) -> Result<(), Failure> {
        self.store.create(succession).await
    }

    async fn update(&self, basis: &Stored, succession: &Succession) -> Result<(), Failure> {
        match &basis.basis {
            Some(secret) => self.store.update(secret, succession).await,
            None => Err(Failure::Conflict),
        }
    }

    async fn publish(&self, bundle: &Bundle, targets: &[Configuration]) -> Result<(), Failure> {
        self.injector.publish(bundle, targets).await
    }

    async fn report(&self, loss: &Loss, now: Timestamp) {
        let event = event(&self.names, loss, now);
        let sent = in_time(self.events.create(&PostParams::default(), &event)).await;
        if let Err(error) = sent {
            tracing::warn!(%error, "the Event about the CA could not be written");
        }
    }
}

/// The Event (events.k8s.io/v1) that tells people why there is a new CA.
fn event(names: &Names, loss: &Loss, now: Timestamp) -> Event {
    let (reason, cause) = match loss {
        Loss::Gone => ("CASecretLost", "it was gone".to_owned()),
        Loss::Corrupt(why) => ("CASecretUnusable", format!("it could not be used: {why}")),
        Loss::Ended => ("CAEnded", "its CA had ended".to_owned()),
        Loss::Early(begin) => (
            "CANotYetValid",
            format!("its CA holds only from {begin} on, and what was served would have ended before"),
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
            "A new CA was put into Secret {}, because {cause}.",
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
    use crate::authority::Unusable;
    use crate::testing::{names, start};

    #[test]
    fn an_event_says_why_and_about_what() {
        let told = |loss| {
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
                "no prefix may end with a dot"
            );
            (event.reason.unwrap(), event.note.unwrap())
        };
        let (reason, note) = told(Loss::Gone);
        assert_eq!(reason, "CASecretLost");
        assert_eq!(note, "A new CA was put into Secret hook-ca, because it was gone.");
        let (reason, note) = told(Loss::Corrupt(Unusable::Mismatch));
        assert_eq!(reason, "CASecretUnusable");
        assert!(
            note.ends_with("the private key does not match the certificate."),
            "{note}"
        );
        assert_eq!(told(Loss::Ended).0, "CAEnded");
        let (reason, note) = told(Loss::Early(start()));
        assert_eq!(reason, "CANotYetValid");
        assert!(note.contains("only from 2026-01-01T00:00:00Z on"), "{note}");
    }
}
