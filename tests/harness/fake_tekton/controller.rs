//! The fake of Tekton's controller: writes the status of PipelineRuns and creates TaskRuns, as a scenario says.
//!
//! Like Tekton it ends a run as `Cancelled` when `spec.status` says so, and stops when the run is deleted. Every write is
//! checked against the installed definitions; unknown fields are errors. No task runs; see [`Scenario`].

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use kube::Client;
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::process::POLL;

use super::pipeline_runs;
use super::scenario::Scenario;
use super::simulated_run::{RunOutcome, SimulatedRun};

/// How long a run may take to appear.
const APPEARS_WITHIN: Duration = Duration::from_secs(60);

/// A fake of Tekton's controller for one namespace.
#[derive(Clone)]
pub struct FakeTekton {
    client: Client,
    namespace: String,
}

impl FakeTekton {
    /// Needs a client with admin rights in the namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        let namespace = namespace.to_owned();
        Self { client, namespace }
    }

    /// Waits for a run with these labels (a selector) that has no status yet, and returns its name.
    pub async fn wait_for_run(&self, labels: &str) -> Result<String> {
        let runs = pipeline_runs(&self.client, &self.namespace);
        let begin = Instant::now();
        loop {
            let list = runs.list(&ListParams::default().labels(labels)).await;
            let list = list.context("listing the runs")?;
            let fresh = list
                .items
                .iter()
                .find(|run| run.metadata.deletion_timestamp.is_none() && run.data["status"]["conditions"].is_null());
            if let Some(name) = fresh.and_then(|run| run.metadata.name.clone()) {
                return Ok(name);
            }
            ensure!(
                begin.elapsed() < APPEARS_WITHIN,
                "no new run with {labels} within {APPEARS_WITHIN:?}, but {:?}",
                list.items.iter().map(|run| &run.metadata.name).collect::<Vec<_>>()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Prepares the simulation of a run; nothing is written before [`SimulatedRun::next`].
    ///
    /// # Errors
    /// The run does not exist, or has a status already.
    pub async fn start(&self, run: &str, scenario: Scenario) -> Result<SimulatedRun> {
        SimulatedRun::start(self.client.clone(), &self.namespace, run, scenario).await
    }

    /// Simulates a run to its end.
    pub async fn simulate(&self, run: &str, scenario: Scenario) -> Result<RunOutcome> {
        self.start(run, scenario).await?.finish().await
    }

    /// Simulates every run of the namespace, existing and new, until `over` completes; returns how many have ended.
    /// `choose` maps a run to its scenario. Runs that have not ended keep the status they have.
    ///
    /// # Errors
    /// The first simulation that fails.
    pub async fn simulate_all(
        &self,
        choose: impl Fn(&Value) -> Scenario,
        over: impl Future<Output = ()>,
    ) -> Result<usize> {
        let mut over = pin!(over);
        let runs = watcher(pipeline_runs(&self.client, &self.namespace), watcher::Config::default());
        let mut runs = pin!(runs.default_backoff().applied_objects());
        let (mut seen, mut simulations) = (BTreeSet::new(), JoinSet::new());
        let mut count = 0;
        loop {
            tokio::select! {
                () = &mut over => return Ok(count),
                Some(simulation) = simulations.join_next() => {
                    simulation.context("simulating a run")??;
                    count += 1;
                }
                // The watcher restarts by itself after an error.
                Some(run) = runs.next() => {
                    let Ok(run) = run else { continue };
                    let uid = run.metadata.uid.clone().unwrap_or_default();
                    let fresh = run.metadata.deletion_timestamp.is_none() && run.data["status"]["conditions"].is_null();
                    if fresh && seen.insert(uid) {
                        let run = serde_json::to_value(&run)?;
                        simulations.spawn(SimulatedRun::of(self.client.clone(), &run, choose(&run)).finish());
                    }
                }
            }
        }
    }
}
