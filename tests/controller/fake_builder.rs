//! A fake of Tekton and all tasks: every new run succeeds, and its ImageStream is published.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use cnbi_shared::contract::{self, Pipeline};
use cnbi_tests::fake_tekton::FakeTekton;
use cnbi_tests::fake_tekton::pipeline_runs;
use cnbi_tests::fake_tekton::scenario::{Action, Scenario};
use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::Value;
use tokio::task::{JoinHandle, JoinSet};

use crate::cluster::{Cluster, DIGEST, Result, TestNamespace, tasks};

/// Simulates builds until it is dropped. Errors of single runs are left to the test.
pub struct FakeBuilder(JoinHandle<()>);

impl Drop for FakeBuilder {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl FakeBuilder {
    /// Starts to simulate the PipelineRuns of a namespace.
    pub async fn start(cluster: &Cluster, builds: &str) -> Result<Self> {
        let client = cluster.control_plane.client().await?;
        let builds = builds.to_owned();
        Ok(Self(tokio::spawn(async move {
            let (mut seen, mut simulations) = (BTreeSet::new(), JoinSet::new());
            let runs = watcher(pipeline_runs(&client, &builds), watcher::Config::default());
            let mut runs = pin!(runs.default_backoff().applied_objects());
            while let Some(run) = runs.next().await {
                let Some(run) = run.ok().and_then(|run| serde_json::to_value(run).ok()) else {
                    continue;
                };
                if seen.insert(run["metadata"]["uid"].to_string()) {
                    let (client, builds) = (client.clone(), builds.clone());
                    simulations.spawn(async move {
                        simulation(&FakeTekton::new(client.clone(), &builds), client, &run).await
                    });
                }
                while simulations.try_join_next().is_some() {}
            }
        })))
    }
}

async fn simulation(tekton: &FakeTekton, client: kube::Client, run: &Value) -> Option<()> {
    let metadata = &run["metadata"];
    let (namespace, name) = metadata["annotations"]["meteor.zone/owned-by"]
        .as_str()?
        .split_once('/')?;
    let params = run["spec"]["params"].as_array()?;
    let tag = params.iter().find(|param| param["name"] == "tag")?["value"].as_str()?;
    let pipeline = contract::PIPELINES
        .iter()
        .find(|pipeline| run["spec"]["pipelineRef"]["name"] == pipeline.name)?;
    let test_ns = TestNamespace {
        client,
        namespace: namespace.to_owned(),
    };
    // Tolerates a restart of the API server.
    for _ in 0..60 {
        if test_ns.publish(name, tag).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tekton
        .simulate(metadata["name"].as_str()?, quick(pipeline))
        .await
        .ok()?;
    Some(())
}

/// Simulates a success with few writes.
fn quick(pipeline: &Pipeline) -> Scenario {
    let last = pipeline.finally[0].name.to_owned();
    let steps = vec![
        Action::Start,
        Action::Begin(last.clone()),
        Action::Succeed(last),
        Action::End,
    ];
    Scenario::new(&tasks(pipeline), steps).with_result("digest", DIGEST)
}
