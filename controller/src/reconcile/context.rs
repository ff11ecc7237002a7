//! State that all reconciles share: client, caches, build queue, pending writes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cnbi_shared::active_config::ActiveConfig;
use cnbi_shared::api::status::Phase;
use futures::channel::mpsc::UnboundedSender;
use kube::Client;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::watch;

use crate::metrics::{Metrics, ResourceCounts};
use crate::plan::action::NamespacedName;
use crate::queue::{ActiveRun, BuildQueue};
use crate::reconcile::events::Events;
use crate::reconcile::pending_writes::PendingWrites;
use crate::reconcile::prerequisites::PrerequisiteChecker;
use crate::upstream::Upstreams;
use crate::watch::projections::{ImageStream, PipelineRun, Projection, TaskRun};
use crate::watch::reflector::{Reflector, SyncState};
use crate::watch::stored::Stored;

/// How long ended runs are gathered before queued resources are reconciled.
const WAKE_DEBOUNCE: Duration = Duration::from_millis(200);

/// State that all reconciles share.
pub struct Context {
    /// Client with the controller's permissions.
    pub client: Client,
    /// PipelineRuns.
    pub runs: Arc<Reflector<PipelineRun>>,
    /// TaskRuns.
    pub task_runs: Arc<Reflector<TaskRun>>,
    /// ImageStreams.
    pub image_streams: Arc<Reflector<ImageStream>>,
    /// Looks up what a run needs to start.
    pub prerequisites: PrerequisiteChecker,
    /// Own writes that the watches have not delivered yet.
    pub pending_writes: PendingWrites,
    /// Digests of tracked tags.
    pub upstreams: Upstreams,
    /// Writes Events.
    pub events: Events,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// The active configuration.
    pub active_config: watch::Receiver<ActiveConfig>,
    /// All caches are filled. Reconciles wait for it.
    pub synced: watch::Sender<bool>,
    queue: Mutex<BuildQueue>,
    /// Failed reconciles in a row, by namespace and name.
    failures: Mutex<HashMap<(String, String), u32>>,
}

impl Context {
    /// Empty caches.
    pub fn new(client: Client, metrics: Arc<Metrics>, active_config: watch::Receiver<ActiveConfig>) -> Self {
        Self {
            runs: Arc::default(),
            task_runs: Arc::default(),
            image_streams: Arc::default(),
            prerequisites: PrerequisiteChecker::new(client.clone()),
            pending_writes: PendingWrites::default(),
            upstreams: Upstreams::default(),
            events: Events::new(client.clone()),
            client,
            metrics,
            active_config,
            synced: watch::Sender::new(false),
            queue: Mutex::default(),
            failures: Mutex::default(),
        }
    }

    /// Watches PipelineRuns, TaskRuns and ImageStreams, and requests a reconcile of each resource that an event is about.
    pub async fn watch(&self, reconcile_requests: &UnboundedSender<ObjectRef<Stored>>) {
        let args = || {
            (
                self.client.clone(),
                Arc::clone(&self.metrics),
                reconcile_requests.clone(),
            )
        };
        tokio::join!(
            Arc::clone(&self.runs).watch(args()),
            Arc::clone(&self.task_runs).watch(args()),
            Arc::clone(&self.image_streams).watch(args()),
        );
    }

    /// Waits until all watches have delivered their initial lists.
    pub async fn wait_until_synced(&self) {
        tokio::join!(
            self.runs.wait_until_synced(),
            self.task_runs.wait_until_synced(),
            self.image_streams.wait_until_synced()
        );
    }

    /// The build queue. Do not hold the guard across an await.
    pub fn queue(&self) -> MutexGuard<'_, BuildQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs that have not ended. Releases the reservations of runs that the watch has delivered.
    pub fn active_runs(&self) -> Vec<Arc<Projection<PipelineRun>>> {
        let mut queue = self.queue();
        let cache = self.runs.cache();
        queue.release_observed(|owner, namespace, name| {
            cache.find(owner, &NamespacedName::new(namespace, name)).is_some()
        });
        cache.active().cloned().collect()
    }

    /// Restores the queue after a restart from the status of the resources.
    pub fn restore_queue(&self, resources: &[Arc<Stored>]) {
        let now = Instant::now();
        for resource in resources.iter().filter(|resource| resource.is_queued()) {
            let (namespace, name) = resource.names();
            self.queue()
                .enqueue(resource.uid(), namespace, name, resource.created(), now);
        }
    }

    /// Whenever a run ends, requests a reconcile of the queued resources that may start now.
    pub async fn wake_queued(&self, reconcile_requests: &UnboundedSender<ObjectRef<Stored>>) {
        loop {
            self.runs.changed().await;
            let config = self.active_config.borrow().config().cloned();
            if let Some(config) = config {
                let runs = self.active_runs();
                let next = self.queue().next(active(&runs), config.pipelines.max_concurrent);
                for (namespace, name) in next {
                    let _ = reconcile_requests.unbounded_send(ObjectRef::new(&name).within(&namespace));
                }
            }
            tokio::time::sleep(WAKE_DEBOUNCE).await;
        }
    }

    /// Whether the cluster serves Tekton's API.
    pub fn has_tekton(&self) -> bool {
        self.runs.state() == SyncState::Synced && self.task_runs.state() == SyncState::Synced
    }

    /// Values of the gauges. A resource without a status counts as pending.
    pub fn counts(&self, resources: &[Arc<Stored>]) -> ResourceCounts {
        // A separate statement: the guard would otherwise live as long as the struct expression.
        let queued = self.queue().waiting(Instant::now());
        ResourceCounts {
            queued,
            active_runs: self
                .active_runs()
                .iter()
                .filter_map(|run| run.data.build_type)
                .collect(),
            phases: resources
                .iter()
                .map(|resource| resource.phase().unwrap_or(Phase::Pending))
                .collect(),
            validations: resources.iter().map(|resource| resource.validation()).collect(),
            has_tekton: self.has_tekton(),
            has_image_streams: self.image_streams.state() == SyncState::Synced,
        }
    }

    /// Counts a failed reconcile. Returns the number of failures in a row.
    pub fn count_failure(&self, namespace: &str, name: &str) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry((namespace.to_owned(), name.to_owned())).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Resets the number of failures in a row.
    pub fn clear_failures(&self, namespace: &str, name: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if !failures.is_empty() {
            failures.remove(&(namespace.to_owned(), name.to_owned()));
        }
    }
}

/// The runs as the build queue counts them.
pub fn active(runs: &[Arc<Projection<PipelineRun>>]) -> impl Iterator<Item = ActiveRun<'_>> {
    runs.iter().map(|run| ActiveRun {
        run: (&run.key.namespace, &run.key.name),
        owner_uid: run.data.owner_uid.as_deref().unwrap_or_default(),
        namespace: run.data.owner_namespace.as_deref().unwrap_or_default(),
    })
}
