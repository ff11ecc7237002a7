//! Everything that visits of resources share: caches, look-ups, memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cnbi_shared::active_config::ActiveConfig;
use cnbi_shared::api::status::Phase;
use futures::channel::mpsc::UnboundedSender;
use kube::Client;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::watch;

use crate::metrics::{Metrics, ResourceCounts};
use crate::plan::action::Place;
use crate::queue::{Active, Turns};
use crate::reconcile::events::Events;
use crate::reconcile::pending_writes::Memory;
use crate::reconcile::prerequisites::Sites;
use crate::upstream::Upstreams;
use crate::watch::packed::Packed;
use crate::watch::projections::{Kept, Run, Stream, TaskRun};
use crate::watch::reflector::{Followed, Known};

/// How long changes of runs are gathered before somebody is woken.
const BREATH: Duration = Duration::from_millis(200);

/// Caches, look-ups and memory.
pub struct World {
    /// The rights to read and write.
    pub client: Client,
    /// PipelineRuns.
    pub runs: Arc<Followed<Run>>,
    /// TaskRuns.
    pub task_runs: Arc<Followed<TaskRun>>,
    /// ImageStreams.
    pub streams: Arc<Followed<Stream>>,
    /// What runs need.
    pub sites: Sites,
    /// What we have done ourselves.
    pub memory: Memory,
    turns: Mutex<Turns>,
    /// What tags name that are followed.
    pub upstreams: Upstreams,
    /// Writes Events.
    pub events: Events,
}

impl World {
    /// Nothing is known yet.
    pub fn new(client: Client) -> Self {
        Self {
            runs: Arc::default(),
            task_runs: Arc::default(),
            streams: Arc::default(),
            sites: Sites::new(client.clone()),
            memory: Memory::default(),
            turns: Mutex::default(),
            upstreams: Upstreams::default(),
            events: Events::new(client.clone()),
            client,
        }
    }

    /// Follows everything for as long as it is polled, and says which resources are touched.
    pub async fn follow(&self, metrics: &Arc<Metrics>, touched: &UnboundedSender<ObjectRef<Packed>>) {
        let client = || self.client.clone();
        tokio::join!(
            Arc::clone(&self.runs).follow(client(), Arc::clone(metrics), touched.clone()),
            Arc::clone(&self.task_runs).follow(client(), Arc::clone(metrics), touched.clone()),
            Arc::clone(&self.streams).follow(client(), Arc::clone(metrics), touched.clone()),
        );
    }

    /// Waits until it is known what there is.
    pub async fn until_known(&self) {
        tokio::join!(
            self.runs.until_known(),
            self.task_runs.until_known(),
            self.streams.until_known()
        );
    }

    /// Whose turn it is. Not to be held across an await.
    pub fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runs that are under way. What was asked for and is seen by now counts as one of these.
    pub fn active_runs(&self) -> Vec<Arc<Kept<Run>>> {
        let mut turns = self.turns();
        let cache = self.runs.cache();
        turns.settle_seen(|of, namespace, name| cache.find(of, &Place::new(namespace, name)).is_some());
        cache.active().cloned().collect()
    }

    /// Takes it from their status which resources waited for their turn before we began.
    pub fn remember_who_waits(&self, resources: &[Arc<Packed>]) {
        let now = Instant::now();
        for resource in resources.iter().filter(|resource| resource.glance.is_queued) {
            let waits = resource.unpack();
            let (namespace, name) = waits.names();
            self.turns().wait(waits.uid(), namespace, name, waits.created(), now);
        }
    }

    /// Whenever a run has ended, says who may have the next one: whoever waits looks seldom by itself.
    pub async fn wake(&self, in_force: &watch::Receiver<ActiveConfig>, touched: &UnboundedSender<ObjectRef<Packed>>) {
        loop {
            self.runs.changed().await;
            let config = in_force.borrow().config().cloned();
            if let Some(config) = config {
                let runs = self.active_runs();
                let next = self.turns().next(active(&runs), config.pipelines.max_concurrent);
                for (namespace, name) in next {
                    let _ = touched.unbounded_send(ObjectRef::new(&name).within(&namespace));
                }
            }
            tokio::time::sleep(BREATH).await;
        }
    }

    /// Whether the cluster has Tekton's API.
    pub fn has_tekton(&self) -> bool {
        self.runs.known() == Known::All && self.task_runs.known() == Known::All
    }

    /// Counts all `resources` for the metrics. A resource without a status is pending.
    pub fn counts(&self, resources: &[Arc<Packed>]) -> ResourceCounts {
        // A statement of its own, so that the lock is released.
        let queued = self.turns().waiting(Instant::now());
        ResourceCounts {
            queued,
            active_runs: self
                .active_runs()
                .iter()
                .filter_map(|run| run.kept.build_type)
                .collect(),
            phases: resources
                .iter()
                .map(|resource| resource.glance.phase.unwrap_or(Phase::Pending))
                .collect(),
            validations: resources.iter().map(|resource| resource.glance.verdict).collect(),
            has_tekton: self.has_tekton(),
            has_image_streams: self.streams.known() == Known::All,
        }
    }
}

/// The same, as they are counted.
pub fn active(runs: &[Arc<Kept<Run>>]) -> impl Iterator<Item = Active<'_>> {
    runs.iter().map(|kept| Active {
        run: (&kept.place.namespace, &kept.place.name),
        of: kept.kept.of.as_deref().unwrap_or_default(),
        namespace: kept.kept.of_namespace.as_deref().unwrap_or_default(),
    })
}
