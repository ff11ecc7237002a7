//! Tells when a webhook configuration has changed, so that a bundle that somebody has cleared is put right at once: while
//! API servers trust nobody, nothing can be created.
//!
//! A change is a hint and nothing else. What has changed is for whoever looks to find out, and whoever looks does so every
//! few seconds anyway. So nothing is kept of what an API server tells, no version is remembered that could become too old,
//! and a watch that breaks begins anew with what is there by then, which is a hint as well.

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

/// How long one watch goes on, in seconds: API servers end it then by themselves.
const WATCH: u32 = 290;
/// When a watch that has not ended by then is given up: whoever should have ended it is gone without a word.
const SILENT: Duration = Duration::from_secs(320);
/// The wait before a watch begins anew: at first, and at most, when one after the other breaks.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Follows the webhook configurations of one installation.
pub(crate) struct Changes {
    client: Client,
    names: Names,
}

impl Changes {
    pub(crate) fn new(client: Client, names: &Names) -> Self {
        Self {
            client,
            names: names.clone(),
        }
    }

    /// Tells of changes for ever. All that happen before somebody listens are told once.
    pub(crate) async fn tell(&self, changed: &Notify) {
        let mutating = Api::<MutatingWebhookConfiguration>::all(self.client.clone());
        let validating = Api::<ValidatingWebhookConfiguration>::all(self.client.clone());
        let mutating = self.names.mutating.iter().map(|name| follow(&mutating, name, changed));
        let validating = self
            .names
            .validating
            .iter()
            .map(|name| follow(&validating, name, changed));
        tokio::join!(join_all(mutating), join_all(validating));
        // With nothing to follow there is nothing to tell either.
        std::future::pending::<()>().await;
    }
}

/// Follows one configuration, for ever.
async fn follow<K>(api: &Api<K>, name: &str, changed: &Notify)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let (first, most) = WAITS;
    let mut wait = first;
    loop {
        let begun = Instant::now();
        let ended = tokio::time::timeout(SILENT, watch(api, name, changed)).await;
        if begun.elapsed() > most {
            wait = first;
        }
        // Said once and not at each attempt: the looks say what is wrong with an API server, and all that is lost here are seconds.
        if let (Ok(Err(error)), true) = (ended, wait == first) {
            tracing::info!(%error, kind = %K::kind(&()), name, "changes are not told for now; there is a look every few seconds");
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(most);
    }
}

/// One watch, until it ends. It begins with what is there, so that nothing that happened before is missed.
async fn watch<K>(api: &Api<K>, name: &str, changed: &Notify) -> kube::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let only = WatchParams::default()
        .fields(&format!("metadata.name={name}"))
        .timeout(WATCH);
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
