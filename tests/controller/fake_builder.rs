//! Tekton and its tasks at work: every run that appears is played, and its ImageStream published.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use cnbi_shared::contract::{self, Pipeline};
use cnbi_tests::tekton::pipeline_runs;
use cnbi_tests::tekton::player::Player;
use cnbi_tests::tekton::script::{Script, Step};
use futures::StreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::Value;
use tokio::task::{JoinHandle, JoinSet};

use crate::cluster::{Cluster, DIGEST, Result, Stage, tasks};

/// Plays until it is dropped. What goes wrong with one run, such as that it is deleted meanwhile, is left to the test to see.
pub struct Factory(JoinHandle<()>);

impl Drop for Factory {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Factory {
    /// Starts to play on the runs of a namespace.
    pub async fn start(cluster: &Cluster, builds: &str) -> Result<Self> {
        let client = cluster.control_plane.client().await?;
        let builds = builds.to_owned();
        Ok(Self(tokio::spawn(async move {
            let (mut seen, mut plays) = (BTreeSet::new(), JoinSet::new());
            let runs = watcher(pipeline_runs(&client, &builds), watcher::Config::default());
            let mut runs = pin!(runs.default_backoff().applied_objects());
            while let Some(run) = runs.next().await {
                let Some(run) = run.ok().and_then(|run| serde_json::to_value(run).ok()) else {
                    continue;
                };
                if seen.insert(run["metadata"]["uid"].to_string()) {
                    let (client, builds) = (client.clone(), builds.clone());
                    plays.spawn(async move { play(&Player::new(client.clone(), &builds), client, &run).await });
                }
                while plays.try_join_next().is_some() {}
            }
        })))
    }
}

async fn play(player: &Player, client: kube::Client, run: &Value) -> Option<()> {
    let metadata = &run["metadata"];
    let (namespace, name) = metadata["annotations"]["meteor.zone/owned-by"]
        .as_str()?
        .split_once('/')?;
    let params = run["spec"]["params"].as_array()?;
    let tag = params.iter().find(|param| param["name"] == "tag")?["value"].as_str()?;
    let pipeline = contract::PIPELINES
        .iter()
        .find(|pipeline| run["spec"]["pipelineRef"]["name"] == pipeline.name)?;
    let stage = Stage {
        client,
        namespace: namespace.to_owned(),
    };
    // As long as an API server may take to restart.
    for _ in 0..60 {
        if stage.publish(name, tag).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    player.play(metadata["name"].as_str()?, quick(pipeline)).await.ok()?;
    Some(())
}

/// A success with as few writes as may be.
fn quick(pipeline: &Pipeline) -> Script {
    let last = pipeline.finally[0].name.to_owned();
    let steps = vec![Step::Start, Step::Begin(last.clone()), Step::Succeed(last), Step::End];
    Script::new(&tasks(pipeline), steps).with_result("digest", DIGEST)
}
