//! Everything that visits of resources share: caches, look-ups, memory.

use std::sync::Arc;

use futures::channel::mpsc::UnboundedSender;
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use std::sync::Mutex;

use crate::follow::{Followed, Known};
use crate::kinds::{Kept, Run, Stream, TaskRun};
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::site::Sites;
use crate::stored::Stored;
use crate::turns::{Active, Turns};

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
    /// Whose turn it is.
    pub turns: Mutex<Turns>,
    /// Writes Events.
    pub recorder: Recorder,
}

impl World {
    /// Nothing is known yet.
    pub fn new(client: Client) -> Self {
        let reporter = Reporter {
            controller: "cnbi-controller".to_owned(),
            instance: None,
        };
        Self {
            runs: Arc::default(),
            task_runs: Arc::default(),
            streams: Arc::default(),
            sites: Sites::new(client.clone()),
            memory: Memory::default(),
            turns: Mutex::default(),
            recorder: Recorder::new(client.clone(), reporter),
            client,
        }
    }

    /// Follows everything for as long as it is polled, and says which resources are touched.
    pub async fn follow(&self, metrics: &Arc<Metrics>, touched: &UnboundedSender<ObjectRef<Stored>>) {
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

    /// Whether the cluster has Tekton's API.
    pub fn has_tekton(&self) -> bool {
        self.runs.known() == Known::All && self.task_runs.known() == Known::All
    }
}

/// The runs that are under way.
pub fn active(runs: &[Arc<Kept<Run>>]) -> impl Iterator<Item = Active<'_>> {
    runs.iter().map(|kept| Active {
        run: (&kept.kept.run.namespace, &kept.kept.run.name),
        of: kept.kept.of.as_deref().unwrap_or_default(),
        namespace: kept.kept.of_namespace.as_deref().unwrap_or_default(),
    })
}
