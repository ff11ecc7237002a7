//! Follows the objects of one kind, whose API may not be there, may come later and may go again.

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
use crate::watch::packed::Packed;
use crate::watch::projections::{Kind, Watched};

/// Objects that are listed at a time. A page is in memory as a whole for a moment, several times over, and what holds it is
/// kept by the connection; a run may be ten KiB of JSON, of which less than one is kept.
pub const PAGE: u32 = 50;

/// The first wait after a failure, doubled with each further one.
const FIRST: Duration = Duration::from_millis(200);

/// The longest wait after a failure.
const LONGEST: Duration = Duration::from_secs(10);

/// How often to look for an API that is not there.
const ABSENT: Duration = Duration::from_secs(15);

/// What is known of a kind's objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// Nothing yet.
    #[default]
    Nothing,
    /// The cluster has no such API, so there are none.
    ApiAbsent,
    /// All of them.
    All,
}

/// The objects of one kind, as they were seen last.
#[derive(Debug)]
pub struct Followed<K> {
    cache: Mutex<Cache<K>>,
    known: watch::Sender<Known>,
    changes: Notify,
}

impl<K> Default for Followed<K> {
    fn default() -> Self {
        Self {
            cache: Mutex::default(),
            known: watch::Sender::default(),
            changes: Notify::new(),
        }
    }
}

impl<K: Kind> Followed<K> {
    /// The objects. Not to be held across an await.
    pub fn cache(&self) -> MutexGuard<'_, Cache<K>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known now.
    pub fn known(&self) -> Known {
        *self.known.borrow()
    }

    /// Waits until it is known what there is.
    pub async fn until_known(&self) {
        let mut known = self.known.subscribe();
        // The sender lives as long as we do.
        let _ = known.wait_for(|known| *known != Known::Nothing).await;
    }

    /// Waits until something has changed since it was waited last.
    pub async fn changed(&self) {
        self.changes.notified().await;
    }

    /// Follows the objects for as long as it is polled, and says which resources they touch.
    pub async fn follow(
        self: Arc<Self>,
        client: Client,
        metrics: Arc<Metrics>,
        touched: UnboundedSender<ObjectRef<Packed>>,
    ) {
        let api: Api<Watched<K>> = Api::all(client);
        let tell = |resources: std::collections::BTreeSet<(String, String)>| {
            for (namespace, name) in resources {
                // Nobody listens any more when the program ends.
                let _ = touched.unbounded_send(ObjectRef::new(&name).within(&namespace));
            }
        };
        let config = watcher::Config::default().labels(K::SELECTOR).page_size(PAGE);
        let mut events = pin!(watcher(api, config));
        let mut wait = FIRST;
        // The stream has no end; what it yields after an error is its next try, so the waits are made here.
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let is_complete = matches!(event, watcher::Event::InitDone);
                    if !matches!(event, watcher::Event::Init) {
                        wait = FIRST;
                    }
                    let resources = self.cache().take(event);
                    if is_complete {
                        self.learn(Known::All);
                    }
                    self.changes.notify_one();
                    tell(resources);
                }
                Err(error) if is_absent(&error) => {
                    let resources = self.cache().clear();
                    self.learn(Known::ApiAbsent);
                    tell(resources);
                    tokio::time::sleep(ABSENT).await;
                }
                Err(error) => {
                    // That a watch has become too old is the way of watches; the list after it heals it.
                    if !is_expired(&error) {
                        metrics.watch_failed();
                        tracing::warn!(kind = K::KIND, %error, "the objects cannot be watched; trying again");
                        tokio::time::sleep(wait).await;
                        wait = wait.saturating_mul(2).min(LONGEST);
                    }
                }
            }
        }
    }

    fn learn(&self, known: Known) {
        let is_news = self.known.send_if_modified(|before| {
            let is_news = *before != known;
            *before = known;
            is_news
        });
        match known {
            Known::ApiAbsent if is_news => {
                tracing::warn!(group = K::GROUP, kind = K::KIND, again_every = ?ABSENT, "the cluster has no such API");
            }
            Known::All if is_news => tracing::info!(kind = K::KIND, objects = self.cache().all().count(), "listed"),
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
