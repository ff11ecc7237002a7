//! Watches the webhook configurations, so that a cleared `caBundle` is restored immediately: without it, every create fails.
//!
//! An event only triggers a reconciliation, which reads the current state and also runs every few seconds. No object and no
//! resourceVersion is kept; a watch that breaks starts again from the current state.

use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::api::{WatchEvent, WatchParams};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::names::Names;

/// Timeout of one watch in seconds, enforced by the API server.
const SERVER_TIMEOUT: u32 = 290;
/// Timeout of one watch in case the API server does not enforce its own.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(320);
/// The wait before a watch is restarted, initially and at most.
const RESTART_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Watches the webhook configurations of one installation.
pub(crate) struct ConfigurationWatch {
    client: Client,
    names: Names,
}

impl ConfigurationWatch {
    pub(crate) fn new(client: Client, names: &Names) -> Self {
        Self {
            client,
            names: names.clone(),
        }
    }

    /// Notifies `changed` of every event; never returns.
    pub(crate) async fn run(&self, changed: &Notify) {
        let mutating = Api::<MutatingWebhookConfiguration>::all(self.client.clone());
        let validating = Api::<ValidatingWebhookConfiguration>::all(self.client.clone());
        let mutating = self.names.mutating.iter().map(|name| follow(&mutating, name, changed));
        let validating = self
            .names
            .validating
            .iter()
            .map(|name| follow(&validating, name, changed));
        tokio::join!(join_all(mutating), join_all(validating));
        // Reached only without configurations.
        std::future::pending::<()>().await;
    }
}

/// Watches one configuration; never returns.
async fn follow<K>(api: &Api<K>, name: &str, changed: &Notify)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let (first, most) = RESTART_WAIT;
    let mut wait = first;
    loop {
        let begun = Instant::now();
        let ended = tokio::time::timeout(CLIENT_TIMEOUT, watch(api, name, changed)).await;
        if begun.elapsed() > most {
            wait = first;
        }
        // Logged once, not at each attempt: the periodic reconciliation reports an unavailable API server.
        if let (Ok(Err(error)), true) = (ended, wait == first) {
            tracing::info!(%error, kind = %K::kind(&()), name, "watch failed; falling back to periodic reads");
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(most);
    }
}

/// Runs one watch until it ends. It starts with the existing object, so no earlier change is missed.
async fn watch<K>(api: &Api<K>, name: &str, changed: &Notify) -> kube::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let only = WatchParams::default()
        .fields(&format!("metadata.name={name}"))
        .timeout(SERVER_TIMEOUT);
    let mut events = std::pin::pin!(api.watch_metadata(&only, "").await?);
    while let Some(event) = events.next().await {
        match event? {
            WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_) => changed.notify_one(),
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
        }
    }
    Ok(())
}
