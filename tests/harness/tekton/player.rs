//! Plays Tekton's part on PipelineRuns: writes to their status, and makes the TaskRuns, that a script asks for.
//!
//! It honours what others do to the run meanwhile, as Tekton would: `spec.status: Cancelled` ends it as `Cancelled`, a
//! deletion ends the play. Every write is checked against the definitions that are installed, unknown fields included.
//! No task runs; see [`Script`] for what can be played.

mod performance;
mod stage;

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
use super::script::Script;

pub use performance::{Outcome, Performance};

/// How long a run may take to appear.
const APPEARS_WITHIN: Duration = Duration::from_secs(60);

/// Tekton's part in one namespace.
#[derive(Clone)]
pub struct Player {
    client: Client,
    namespace: String,
}

impl Player {
    /// A player for the runs of a namespace; it needs the rights of an administrator there.
    pub fn new(client: Client, namespace: &str) -> Self {
        let namespace = namespace.to_owned();
        Self { client, namespace }
    }

    /// Waits until there is a run with these labels (a selector) that nothing was played on yet, and gives its name.
    pub async fn appears(&self, labels: &str) -> Result<String> {
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

    /// Begins to play on a run; nothing happens until [`Performance::next`].
    ///
    /// Fails when there is no such run, or when something was played on it already.
    pub async fn begin(&self, run: &str, script: Script) -> Result<Performance> {
        Performance::begin(self.client.clone(), &self.namespace, run, script).await
    }

    /// Plays a whole script on a run.
    pub async fn play(&self, run: &str, script: Script) -> Result<Outcome> {
        self.begin(run, script).await?.finish().await
    }

    /// Plays on every run of the namespace from now on, those that are there included, until `over`; gives how often it
    /// has played. `choose` gets the run and says what becomes of it.
    ///
    /// What was begun when it is over is left where it stands. Fails with the first play that fails.
    pub async fn play_all(&self, choose: impl Fn(&Value) -> Script, over: impl Future<Output = ()>) -> Result<usize> {
        let mut over = pin!(over);
        let runs = watcher(pipeline_runs(&self.client, &self.namespace), watcher::Config::default());
        let mut runs = pin!(runs.default_backoff().applied_objects());
        let (mut seen, mut plays) = (BTreeSet::new(), JoinSet::new());
        let mut played = 0;
        loop {
            tokio::select! {
                () = &mut over => return Ok(played),
                Some(play) = plays.join_next() => {
                    play.context("playing")??;
                    played += 1;
                }
                // The watch begins again by itself after an error.
                Some(run) = runs.next() => {
                    let Ok(run) = run else { continue };
                    let uid = run.metadata.uid.clone().unwrap_or_default();
                    let fresh = run.metadata.deletion_timestamp.is_none() && run.data["status"]["conditions"].is_null();
                    if fresh && seen.insert(uid) {
                        let run = serde_json::to_value(&run)?;
                        plays.spawn(Performance::of(self.client.clone(), &run, choose(&run)).finish());
                    }
                }
            }
        }
    }
}
