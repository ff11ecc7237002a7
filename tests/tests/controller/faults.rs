//! What the controller has to outlast: its own death at any moment, a second one beside it, an API server that restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use cnbi_controller::build::manifest::run_name;
use cnbi_tests::chance::{Chance, number};
use cnbi_tests::installation::shipped;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::cluster::{BUILDS, Cluster, Result, Stage, WITHIN, import};
use crate::factory::Factory;

/// How long everything may take to settle once nothing goes wrong any more.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// The names of the runs that were made, each as often as it was, from the audit log.
pub fn made(cluster: &Cluster) -> Result<BTreeMap<String, usize>> {
    let log = fs::read_to_string(cluster.control_plane.audit_log())?;
    let mut made = BTreeMap::new();
    for event in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let of = &event["objectRef"];
        // Elsewhere, kinds are probed for whether they work already.
        let is_run = of["resource"] == "pipelineruns" && of["namespace"] == BUILDS;
        if event["verb"] == "create" && is_run && event["responseStatus"]["code"] == 201 {
            let name = of["name"].as_str().unwrap_or_default().to_owned();
            *made.entry(name).or_default() += 1;
        }
    }
    Ok(made)
}

async fn until_all_ready(stage: &Stage, names: &[String], within: Duration) -> Result {
    let begin = Instant::now();
    for name in names {
        stage.until_ready(name).await?;
    }
    assert!(begin.elapsed() < within, "settled after {:?}", begin.elapsed());
    Ok(())
}

#[tokio::test]
async fn killed_a_hundred_times_it_makes_each_run_once() -> Result {
    let seed = number("CNBI_SEED").unwrap_or(20_260_301);
    eprintln!("CNBI_SEED={seed}");
    let mut chance = Chance::of(seed);
    let cluster = Cluster::whole().await?;
    let installation = cluster.install_without_election().await?;
    let stage = cluster.stage("team-a").await?;
    let factory = Factory::start(&cluster, BUILDS).await?;
    let names: Vec<String> = (0..10).map(|index| format!("killed-{index}")).collect();
    let mut uids = BTreeMap::new();
    for kill in 0..100_usize {
        let controller = installation.start(shipped::CONTROLLER).await?;
        // The work is spread over all kills: resources come, and half of them change.
        if let Some(name) = names.get(kill / 8).filter(|_| kill.is_multiple_of(8)) {
            uids.insert(name.clone(), stage.create(name, import()).await?);
        }
        if let Some(name) = names.get(kill / 8).filter(|_| kill % 16 == 5) {
            stage
                .patch(name, json!({"spec": {"fromImage": "quay.io/a/b:v2"}}))
                .await?;
        }
        tokio::time::sleep(Duration::from_millis(80 + chance.below(320))).await;
        controller.into_process().kill().await?;
    }
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    until_all_ready(&stage, &names, SETTLED_WITHIN).await?;
    drop(factory);

    // Nothing failed, so there is one run for each generation that was seen, and none besides.
    let mut made = made(&cluster)?;
    // Whoever was killed before it had the answer is not in the log with one, and what it asked for may be done all the same.
    for run in stage.runs().list(&ListParams::default()).await?.items {
        made.entry(run.metadata.name.unwrap_or_default()).or_insert(1);
    }
    assert!(made.values().all(|times| *times == 1), "{made:?}");
    let mut expected = BTreeSet::new();
    for (name, uid) in &uids {
        let generation = stage.read(name).await?["metadata"]["generation"]
            .as_i64()
            .unwrap_or_default();
        let run = |generation| run_name(name, uid, generation, "", 1);
        assert!(made.contains_key(&run(generation)), "{name}: {made:?}");
        expected.extend((1..=generation).map(run));
    }
    let besides: Vec<_> = made.keys().filter(|name| !expected.contains(*name)).collect();
    assert!(besides.is_empty(), "{besides:?}");
    cluster.assert_nothing_was_forbidden()
}

#[tokio::test]
async fn two_at_once_and_an_api_server_that_restarts_make_no_run_twice() -> Result {
    let cluster = Cluster::whole().await?;
    let installation = cluster.install_without_election().await?;
    let stage = cluster.stage("team-a").await?;
    let _factory = Factory::start(&cluster, BUILDS).await?;
    let mut one = installation.start(shipped::CONTROLLER).await?;
    let mut other = installation.start_beside(shipped::CONTROLLER).await?;
    one.ready(WITHIN).await?;
    let mut names = Vec::new();
    for index in 0..10 {
        names.push(format!("before-{index}"));
        stage.create(&names[index], import()).await?;
    }
    cluster.control_plane.stop_api_server().await?;
    cluster.control_plane.start_api_server().await?;
    for index in 0..10 {
        let name = format!("after-{index}");
        stage.create(&name, import()).await?;
        names.push(name);
    }
    until_all_ready(&stage, &names, SETTLED_WITHIN).await?;
    let made = made(&cluster)?;
    assert_eq!((made.len(), made.values().sum()), (20, 20), "{made:?}");
    one.ensure_running()?;
    other.ensure_running()?;
    Ok(())
}
