//! A reflector for one kind of object. In contrast to the one of `kube`, it supports an API that is missing, is installed
//! later, or is removed again, and it indexes the objects by owner.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedSender;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use tokio::sync::{Notify, watch};

use crate::metrics::Metrics;
use crate::watch::cache::Cache;
use crate::watch::projections::{ProjectedKind, WatchedObject};
use crate::watch::stored::Stored;

/// Page size of lists. A page is in memory as a whole, as JSON and deserialised; a run may have 10 KiB of JSON, of which less
/// than 1 KiB is kept.
pub const PAGE: u32 = 50;

/// The first retry delay, doubled with each further failure.
const FIRST_RETRY: Duration = Duration::from_millis(200);

/// The longest retry delay.
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// How often to check whether a missing API has been installed.
const ABSENT_RETRY: Duration = Duration::from_secs(15);

/// State of a reflector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncState {
    /// The first list is not complete.
    #[default]
    Pending,
    /// The cluster does not serve the API, so no objects exist.
    ApiAbsent,
    /// The cache contains all objects.
    Synced,
}

/// The objects of one kind, kept up to date by a watch.
#[derive(Debug)]
pub struct Reflector<K> {
    cache: Mutex<Cache<K>>,
    state: watch::Sender<SyncState>,
    changes: Notify,
}

impl<K> Default for Reflector<K> {
    fn default() -> Self {
        Self {
            cache: Mutex::default(),
            state: watch::Sender::default(),
            changes: Notify::new(),
        }
    }
}

impl<K: ProjectedKind> Reflector<K> {
    /// The objects. Do not hold the guard across an await.
    pub fn cache(&self) -> MutexGuard<'_, Cache<K>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current state.
    pub fn state(&self) -> SyncState {
        *self.state.borrow()
    }

    /// Waits until the first list is complete, or the API is known to be absent.
    pub async fn wait_until_synced(&self) {
        let mut state = self.state.subscribe();
        // `self` holds the sender, so this cannot fail.
        let _ = state.wait_for(|state| *state != SyncState::Pending).await;
    }

    /// Waits for the next change since the last call.
    pub async fn changed(&self) {
        self.changes.notified().await;
    }

    /// Watches the objects. Requests a reconcile of each resource that an event is about. Never returns.
    pub async fn watch(
        self: Arc<Self>,
        (client, metrics, reconcile_requests): (Client, Arc<Metrics>, UnboundedSender<ObjectRef<Stored>>),
    ) {
        let api: Api<WatchedObject<K>> = Api::all(client);
        let request = |resources: std::collections::BTreeSet<(String, String)>| {
            for (namespace, name) in resources {
                // Fails only while the program shuts down.
                let _ = reconcile_requests.unbounded_send(ObjectRef::new(&name).within(&namespace));
            }
        };
        let config = watcher::Config::default().labels(K::SELECTOR).page_size(PAGE);
        let mut events = pin!(watcher(api, config));
        let mut retry = FIRST_RETRY;
        // The stream never ends. It retries as soon as it is polled after an error, so the delay is here.
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let is_complete = matches!(event, watcher::Event::InitDone);
                    if !matches!(event, watcher::Event::Init) {
                        retry = FIRST_RETRY;
                    }
                    let resources = self.cache().apply(event);
                    if is_complete {
                        self.set_state(SyncState::Synced);
                    }
                    self.changes.notify_one();
                    request(resources);
                }
                Err(error) if is_absent(&error) => {
                    let resources = self.cache().clear();
                    self.set_state(SyncState::ApiAbsent);
                    request(resources);
                    tokio::time::sleep(ABSENT_RETRY).await;
                }
                Err(error) => {
                    // An expired resource version is normal: the watcher lists again.
                    if !is_expired(&error) {
                        metrics.watch_failed();
                        tracing::warn!(kind = K::KIND, %error, "watch failed; retrying");
                        tokio::time::sleep(retry).await;
                        retry = retry.saturating_mul(2).min(LONGEST_RETRY);
                    }
                }
            }
        }
    }

    fn set_state(&self, state: SyncState) {
        let has_changed = self.state.send_if_modified(|before| {
            let has_changed = *before != state;
            *before = state;
            has_changed
        });
        match state {
            SyncState::ApiAbsent if has_changed => tracing::warn!(
                group = K::GROUP,
                kind = K::KIND,
                check_every = ?ABSENT_RETRY,
                "the cluster does not serve this API"
            ),
            SyncState::Synced if has_changed => {
                tracing::info!(kind = K::KIND, objects = self.cache().all().count(), "watch synced");
            }
            _ => {}
        }
    }
}

fn is_absent(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status)) => status.code == 404,
        _ => false,
    }
}

fn is_expired(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchError(status) if status.code == 410)
}
