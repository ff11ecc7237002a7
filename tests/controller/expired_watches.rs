//! A controller that was stopped for so long that its watches expired.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use cnbi_controller::plan::manifest::run_name;
use cnbi_shared::contract::IMPORT;
use cnbi_tests::installation::{Replica, shipped};
use cnbi_tests::process::Fault;
use futures::{StreamExt as _, pin_mut};
use kube::api::{DeleteParams, ListParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Result, TestNamespace, WITHIN, import, metric, success, until, until_metric};
use crate::faults::made;

/// The kinds that the controller watches in all namespaces.
const FOLLOWED: [&str; 4] = ["customnbimages", "pipelineruns", "taskruns", "imagestreams"];

const UNCHANGED: &str = "cnbi_controller_reconcile_total{result=\"unchanged\"}";

/// The status code of the error event that ends a watch of resources from that version.
async fn told_since(test_ns: &TestNamespace, version: &str) -> Result<u16> {
    let (params, resources) = (WatchParams::default(), test_ns.resources());
    let begin = Instant::now();
    loop {
        let events = match resources.watch(&params, version).await {
            Err(kube::Error::Api(status)) if status.code == 429 && begin.elapsed() < WITHIN => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            events => events?,
        };
        pin_mut!(events);
        return match events.next().await {
            Some(Ok(WatchEvent::Error(status))) => Ok(status.code),
            other => Err(format!("the watch goes on: {other:?}").into()),
        };
    }
}

/// Failed watches and failed reconciles.
async fn failures(controller: &Replica) -> Result<u64> {
    let watches = metric(controller, "cnbi_controller_watch_errors_total").await?;
    Ok(watches + metric(controller, "cnbi_controller_reconcile_total{result=\"error\"}").await?)
}

/// How often the controller listed all objects of each kind.
fn all_lists(cluster: &Cluster) -> Result<Vec<usize>> {
    let requests = cluster.requests()?;
    let count = |kind: &str| {
        let list = format!("list {kind} 200");
        requests.iter().filter(|request| **request == list).count()
    };
    Ok(FOLLOWED.into_iter().map(count).collect())
}

/// The resource versions from which the controller started watches.
fn watched_since(cluster: &Cluster) -> Result<Vec<String>> {
    let log = fs::read_to_string(cluster.control_plane.audit_log())?;
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(events
        .filter(|event| event["verb"] == "watch" && event["objectRef"]["resource"] == "customnbimages")
        .filter(|event| {
            event["user"]["username"]
                .as_str()
                .is_some_and(|user| user.ends_with(":cnbi-controller"))
        })
        .filter_map(|event| {
            let uri = event["requestURI"].as_str()?;
            let (_, version) = uri.split_once("resourceVersion=")?;
            Some(version.split('&').next()?.to_owned())
        })
        .collect())
}

async fn ready(test_ns: &TestNamespace, name: &str) -> Result<String> {
    let uid = test_ns.create(name, import()).await?;
    test_ns.build(name, &uid, &IMPORT, "v0.2.2").await?;
    test_ns.until_ready(name).await?;
    Ok(uid)
}

#[tokio::test]
async fn changes_missed_by_expired_watches_are_reconciled_once() -> Result {
    let cluster = Cluster::whole().await?;
    // Otherwise the controller would lose its Lease while stopped, exit and restart with an empty cache.
    let installation = cluster.install_without_election().await?;
    let test_ns = cluster.test_ns("team-a").await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let kept = ready(&test_ns, "kept").await?;
    let changed = ready(&test_ns, "changed").await?;
    let deleted = ready(&test_ns, "deleted").await?;
    let torn = ready(&test_ns, "torn").await?;
    let lost = ready(&test_ns, "lost").await?;
    let played = test_ns.create("played", import()).await?;
    let run = test_ns.run_of(&played).await?;
    let removed = test_ns.create("removed", import()).await?;
    let removed_run = test_ns.run_of(&removed).await?;
    for name in ["played", "removed"] {
        test_ns.until(name, "Ready", "Unknown", "Building").await?;
    }

    controller.send(Fault::Stop)?;
    let seen = test_ns
        .resources()
        .list(&ListParams::default())
        .await?
        .metadata
        .resource_version;
    let seen = seen.ok_or("a list without a version")?;
    let before = all_lists(&cluster)?;
    test_ns
        .patch("changed", json!({"spec": {"fromImage": "quay.io/a/b:v2"}}))
        .await?;
    let created = test_ns.create("created", import()).await?;
    let mut simulation = test_ns.tekton().start(&run, success(&IMPORT)).await?;
    simulation.until_running(IMPORT.finally[0].name).await?;
    test_ns.publish("played", "v0.2.2").await?;
    simulation.finish().await?;
    test_ns.delete("deleted").await?;
    // The finalizer was removed by hand, so the deletion left no trace.
    test_ns.patch("torn", json!({"metadata": {"finalizers": null}})).await?;
    test_ns.delete("torn").await?;
    test_ns.until_gone("torn").await?;
    test_ns.streams().delete("lost", &DeleteParams::default()).await?;
    test_ns.runs().delete(&removed_run, &DeleteParams::background()).await?;
    cluster.control_plane.stop_api_server().await?;
    cluster.control_plane.start_api_server().await?;
    assert_eq!(
        told_since(&test_ns, &seen).await?,
        410,
        "what was seen last has expired"
    );
    controller.send(Fault::Continue)?;

    test_ns.until_ready("played").await?;
    test_ns.until_gone("deleted").await?;
    test_ns.build("changed", &changed, &IMPORT, "v2").await?;
    test_ns.build("created", &created, &IMPORT, "v0.2.2").await?;
    test_ns.build("removed", &removed, &IMPORT, "v0.2.2").await?;
    test_ns.build("lost", &lost, &IMPORT, "v0.2.2").await?;
    for name in ["kept", "changed", "created", "removed", "lost"] {
        test_ns.until_ready(name).await?;
    }
    until("what belonged to those that are gone is gone", async || {
        let streams = test_ns.streams();
        Ok(streams.get_opt("deleted").await?.is_none()
            && streams.get_opt("torn").await?.is_none()
            && test_ns.runs_of(&deleted).await?.is_empty()
            && test_ns.runs_of(&torn).await?.is_empty())
    })
    .await?;
    let expected: BTreeMap<String, usize> = [
        ("kept", &kept, 1, 1),
        ("changed", &changed, 1, 1),
        ("changed", &changed, 2, 1),
        ("created", &created, 1, 1),
        ("deleted", &deleted, 1, 1),
        ("lost", &lost, 1, 1),
        ("lost", &lost, 1, 2),
        ("played", &played, 1, 1),
        ("removed", &removed, 1, 1),
        ("removed", &removed, 1, 2),
        ("torn", &torn, 1, 1),
    ]
    .map(|(name, uid, generation, attempt)| (run_name(name, uid, generation, "", attempt), 1))
    .into();
    assert_eq!(made(&cluster)?, expected);

    assert_listed_and_quiet(&cluster, &controller, &seen, &before).await?;
    controller.ensure_running()?;
    cluster.assert_nothing_was_forbidden()
}

async fn assert_listed_and_quiet(cluster: &Cluster, controller: &Replica, seen: &str, before: &[usize]) -> Result {
    // The watch expired, so the controller listed again. It may repeat a list if the API server is not ready yet.
    let since = watched_since(cluster)?;
    let seen: u64 = seen.parse()?;
    let is_old = |version: &&String| version.parse::<u64>().is_ok_and(|version| version <= seen);
    assert!(since.iter().filter(is_old).count() >= 2, "{since:?}, stopped at {seen}");
    let after = all_lists(cluster)?;
    for ((kind, before), after) in FOLLOWED.iter().zip(before).zip(&after) {
        assert!(
            (before + 1..=before + 3).contains(after),
            "{kind}: {before}, then {after}"
        );
    }
    // Errors while the API server restarts are expected. An unhandled expired watch would repeat forever.
    let failed = failures(controller).await?;
    assert!(failed <= 20, "{failed} failures");

    // After that, a full reconcile writes nothing.
    let writes = cluster.writes()?;
    let looked = metric(controller, UNCHANGED).await?;
    cluster
        .configure("targetNamespace: {default: opendatahub}\nrepositories: {allowed: [example.com]}")
        .await?;
    until_metric(controller, UNCHANGED, looked + 6).await?;
    assert_eq!(cluster.writes()?, writes);
    assert_eq!(failures(controller).await?, failed);
    assert_eq!(all_lists(cluster)?, after);
    Ok(())
}
