//! The controller is killed, runs twice, or loses its API server.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use cnbi_controller::plan::manifest::run_name;
use cnbi_tests::installation::shipped;
use cnbi_tests::random::{Random, number};
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::cluster::{BUILDS, Cluster, Result, TestNamespace, WITHIN, import};
use crate::fake_builder::FakeBuilder;

/// Timeout to settle after the last fault.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

/// How often the controller is killed; `CNBI_KILLS` overrides it, as in `make soak`.
const KILLS: u64 = 20;

/// The names of all created runs from the audit log, with duplicates.
pub fn made(cluster: &Cluster) -> Result<BTreeMap<String, usize>> {
    let log = fs::read_to_string(cluster.control_plane.audit_log())?;
    let mut made = BTreeMap::new();
    for event in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let of = &event["objectRef"];
        // Creates in other namespaces only probe whether the kind is available.
        let is_run = of["resource"] == "pipelineruns" && of["namespace"] == BUILDS;
        if event["verb"] == "create" && is_run && event["responseStatus"]["code"] == 201 {
            let name = of["name"].as_str().unwrap_or_default().to_owned();
            *made.entry(name).or_default() += 1;
        }
    }
    Ok(made)
}

async fn until_all_ready(test_ns: &TestNamespace, names: &[String], within: Duration) -> Result {
    let begin = Instant::now();
    for name in names {
        test_ns.until_ready(name).await?;
    }
    assert!(begin.elapsed() < within, "settled after {:?}", begin.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_controller_that_is_killed_creates_each_run_once() -> Result {
    let mut random = Random::new();
    let kills = usize::try_from(number("CNBI_KILLS").unwrap_or(KILLS))?;
    // The work is spread over all kills: resources are created, and half of them change.
    assert!(kills >= 20, "{kills} kills leave no room for the work");
    let every = kills / 10;
    let cluster = Cluster::whole().await?;
    let installation = cluster.install_without_election().await?;
    let test_ns = cluster.test_ns("team-a").await?;
    let builder = FakeBuilder::start(&cluster, BUILDS).await?;
    let names: Vec<String> = (0..10).map(|index| format!("killed-{index}")).collect();
    let mut uids = BTreeMap::new();
    for kill in 0..kills {
        let controller = installation.start(shipped::CONTROLLER).await?;
        if let Some(name) = names.get(kill / every).filter(|_| kill.is_multiple_of(every)) {
            uids.insert(name.clone(), test_ns.create(name, import()).await?);
        }
        if let Some(name) = names.get(kill / every).filter(|_| kill % (2 * every) == every / 2) {
            test_ns
                .patch(name, json!({"spec": {"fromImage": "quay.io/a/b:v2"}}))
                .await?;
        }
        tokio::time::sleep(Duration::from_millis(80 + random.below(320))).await;
        controller.into_process().kill().await?;
    }
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    until_all_ready(&test_ns, &names, SETTLED_WITHIN).await?;
    drop(builder);

    // Nothing failed, so each observed generation has exactly one run.
    let mut made = made(&cluster)?;
    // A request whose client was killed has no response code in the log, but may have succeeded.
    for run in test_ns.runs().list(&ListParams::default()).await?.items {
        made.entry(run.metadata.name.unwrap_or_default()).or_insert(1);
    }
    let (mut expected, mut lost) = (BTreeSet::new(), Vec::new());
    for (name, uid) in &uids {
        let generation = test_ns.read(name).await?["metadata"]["generation"]
            .as_i64()
            .unwrap_or_default();
        let run = |generation| run_name(name, uid, generation, "", 1);
        expected.extend((1..=generation).map(run));
        lost.extend(Some(run(generation)).filter(|latest| !made.contains_key(latest)));
    }
    let twice: Vec<_> = made.iter().filter(|(_, times)| **times > 1).collect();
    let besides: Vec<_> = made.keys().filter(|name| !expected.contains(*name)).collect();
    eprintln!(
        "{kills} kills, {} resources: {} runs made, {} twice, {} lost, {} unexpected",
        uids.len(),
        made.len(),
        twice.len(),
        lost.len(),
        besides.len()
    );
    assert_eq!(uids.len(), names.len());
    assert!(
        twice.is_empty() && lost.is_empty() && besides.is_empty(),
        "twice {twice:?}, lost {lost:?}, besides {besides:?}"
    );
    cluster.assert_nothing_was_forbidden()
}

#[tokio::test]
async fn two_controllers_and_an_api_server_restart_create_each_run_once() -> Result {
    let cluster = Cluster::whole().await?;
    let installation = cluster.install_without_election().await?;
    let test_ns = cluster.test_ns("team-a").await?;
    let _factory = FakeBuilder::start(&cluster, BUILDS).await?;
    let mut one = installation.start(shipped::CONTROLLER).await?;
    let mut other = installation.start_beside(shipped::CONTROLLER).await?;
    one.ready(WITHIN).await?;
    let mut names = Vec::new();
    for index in 0..10 {
        names.push(format!("before-{index}"));
        test_ns.create(&names[index], import()).await?;
    }
    cluster.control_plane.stop_api_server().await?;
    cluster.control_plane.start_api_server().await?;
    for index in 0..10 {
        let name = format!("after-{index}");
        test_ns.create(&name, import()).await?;
        names.push(name);
    }
    until_all_ready(&test_ns, &names, SETTLED_WITHIN).await?;
    let made = made(&cluster)?;
    assert_eq!((made.len(), made.values().sum()), (20, 20), "{made:?}");
    one.ensure_running()?;
    other.ensure_running()?;
    Ok(())
}
