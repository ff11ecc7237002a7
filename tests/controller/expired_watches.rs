//! A controller that was away for so long that the API server does not know any more what happened meanwhile.

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

use crate::cluster::{Cluster, Result, Stage, WITHIN, import, metric, success, until, until_metric};
use crate::faults::made;

/// The kinds that the controller follows everywhere.
const FOLLOWED: [&str; 4] = ["customnbimages", "pipelineruns", "taskruns", "imagestreams"];

const UNCHANGED: &str = "cnbi_controller_reconcile_total{result=\"unchanged\"}";

/// What the API server says to a watch of resources from that version on, once it has read what there is.
async fn told_since(stage: &Stage, version: &str) -> Result<u16> {
    let (params, resources) = (WatchParams::default(), stage.resources());
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

/// Watches that did not come about and looks at resources that failed.
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

/// The versions from which the controller asked to watch resources.
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

async fn ready(stage: &Stage, name: &str) -> Result<String> {
    let uid = stage.create(name, import()).await?;
    stage.build(name, &uid, &IMPORT, "v0.2.2").await?;
    stage.until_ready(name).await?;
    Ok(uid)
}

#[tokio::test]
async fn what_happened_while_its_watches_expired_is_made_good_once() -> Result {
    let cluster = Cluster::whole().await?;
    // Or it would end, having lost its Lease while it was stopped, and begin anew with empty hands.
    let installation = cluster.install_without_election().await?;
    let stage = cluster.stage("team-a").await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let kept = ready(&stage, "kept").await?;
    let changed = ready(&stage, "changed").await?;
    let deleted = ready(&stage, "deleted").await?;
    let torn = ready(&stage, "torn").await?;
    let lost = ready(&stage, "lost").await?;
    let played = stage.create("played", import()).await?;
    let run = stage.run_of(&played).await?;
    let removed = stage.create("removed", import()).await?;
    let removed_run = stage.run_of(&removed).await?;
    for name in ["played", "removed"] {
        stage.until(name, "Ready", "Unknown", "Building").await?;
    }

    controller.send(Fault::Stop)?;
    let seen = stage
        .resources()
        .list(&ListParams::default())
        .await?
        .metadata
        .resource_version;
    let seen = seen.ok_or("a list without a version")?;
    let before = all_lists(&cluster)?;
    stage
        .patch("changed", json!({"spec": {"fromImage": "quay.io/a/b:v2"}}))
        .await?;
    let created = stage.create("created", import()).await?;
    let mut simulation = stage.tekton().start(&run, success(&IMPORT)).await?;
    simulation.until_running(IMPORT.finally[0].name).await?;
    stage.publish("played", "v0.2.2").await?;
    simulation.finish().await?;
    stage.delete("deleted").await?;
    // Gone without a trace: the finalizer was taken off by hand.
    stage.patch("torn", json!({"metadata": {"finalizers": null}})).await?;
    stage.delete("torn").await?;
    stage.until_gone("torn").await?;
    stage.streams().delete("lost", &DeleteParams::default()).await?;
    stage.runs().delete(&removed_run, &DeleteParams::background()).await?;
    cluster.control_plane.stop_api_server().await?;
    cluster.control_plane.start_api_server().await?;
    assert_eq!(told_since(&stage, &seen).await?, 410, "what was seen last has expired");
    controller.send(Fault::Continue)?;

    stage.until_ready("played").await?;
    stage.until_gone("deleted").await?;
    stage.build("changed", &changed, &IMPORT, "v2").await?;
    stage.build("created", &created, &IMPORT, "v0.2.2").await?;
    stage.build("removed", &removed, &IMPORT, "v0.2.2").await?;
    stage.build("lost", &lost, &IMPORT, "v0.2.2").await?;
    for name in ["kept", "changed", "created", "removed", "lost"] {
        stage.until_ready(name).await?;
    }
    until("what belonged to those that are gone is gone", async || {
        let streams = stage.streams();
        Ok(streams.get_opt("deleted").await?.is_none()
            && streams.get_opt("torn").await?.is_none()
            && stage.runs_of(&deleted).await?.is_empty()
            && stage.runs_of(&torn).await?.is_empty())
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
    // It asked from where it was, was told that this is over, and listed. A list of an API server that is not quite ready may have
    // to be made again.
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
    // That the connection was lost and the API server not ready at once counts; that versions are old goes on for ever if it is
    // not understood.
    let failed = failures(controller).await?;
    assert!(failed <= 20, "{failed} failures");

    // And then there is peace: a look at everything writes nothing.
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
