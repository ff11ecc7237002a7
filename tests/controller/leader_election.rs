//! Leader election: of several controller replicas, exactly one is active.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::{Installation, Options, Replica, shipped};
use cnbi_tests::process::Fault;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const WITHIN: Duration = Duration::from_secs(60);

const LEASE: &str = "cnbi-controller";

/// The shipped installation; `times` sets a shorter Lease duration.
fn options(name: &str, times: Option<[&str; 3]>) -> Options {
    let mut options = shipped::default(Some(name));
    if let Some([duration, deadline, retry]) = times {
        let flags = [
            ("--lease-duration", duration),
            ("--lease-renewal-deadline", deadline),
            ("--lease-retry", retry),
        ];
        let flags = flags.map(|(flag, value)| (flag.to_owned(), value.to_owned()));
        options.flags.insert(shipped::CONTROLLER.to_owned(), flags.into());
    }
    options
}

/// Two replicas; the first one leads.
async fn pair(control_plane: &ControlPlane, options: Options) -> Result<(Installation<'_>, Replica, Replica)> {
    let installation = Installation::install(control_plane, options).await?;
    let mut leader = installation.start(shipped::CONTROLLER).await?;
    leader.ready(WITHIN).await?;
    until_leads(&leader).await?;
    let mut other = installation.start_beside(shipped::CONTROLLER).await?;
    // A standby replica reports ready; otherwise it would block every rollout.
    other.ready(WITHIN).await?;
    ensure!(leads(&leader).await? && !leads(&other).await?, "two lead");
    Ok((installation, leader, other))
}

async fn leads(replica: &Replica) -> Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", replica.port("metrics")?)).await?;
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let value = answer
        .lines()
        .find_map(|line| line.strip_prefix("cnbi_controller_leader "));
    match value {
        Some("1") => Ok(true),
        Some("0") => Ok(false),
        _ => bail!("no metric shows the leader:\n{answer}"),
    }
}

async fn until_leads(replica: &Replica) -> Result<()> {
    let begin = Instant::now();
    while !leads(replica).await? {
        ensure!(begin.elapsed() < WITHIN, "{} does not come to lead", replica.pod());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn lease(control_plane: &ControlPlane, installation: &Installation<'_>) -> Result<Value> {
    let args = ["-n", installation.namespace(), "get", "lease", LEASE, "-o=json"];
    Ok(serde_json::from_str(&control_plane.kubectl().args(args).ok().await?)?)
}

async fn patch_lease(control_plane: &ControlPlane, installation: &Installation<'_>, spec: Value) -> Result<()> {
    let patch = json!({ "spec": spec }).to_string();
    let args = [
        "-n",
        installation.namespace(),
        "patch",
        "lease",
        LEASE,
        "--type=merge",
        "-p",
        &patch,
    ];
    control_plane.kubectl().args(args).ok().await.map(drop)
}

/// Checks that the current leader reconciles a new resource.
async fn until_worked_on(control_plane: &ControlPlane, name: &str) -> Result<()> {
    let resource = json!({
        "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"buildType": "ImageImport", "fromImage": "quay.io/a/b:v1"},
    });
    let create = control_plane.kubectl().args(["create", "-f", "-"]);
    create.stdin(resource.to_string()).ok().await?;
    let wait = [
        "wait",
        "customnbimage",
        name,
        "--for=condition=WellFormed",
        "--timeout=60s",
    ];
    control_plane.kubectl().args(wait).ok().await.map(drop)
}

/// Runs sequentially, because each case has a controller for the whole cluster.
#[tokio::test]
async fn exactly_one_replica_leads_when_others_fail() -> Result<()> {
    let control_plane = ControlPlane::start().await?;
    another_replica_takes_over_from_one_that_is_killed(&control_plane).await?;
    a_replica_that_is_asked_to_end_gives_the_lease_up(&control_plane).await?;
    a_leader_that_has_lost_the_lease_ends_at_once(&control_plane).await?;
    a_leader_whose_lease_is_deleted_ends_at_once(&control_plane).await?;
    a_leader_that_was_frozen_does_not_go_on(&control_plane).await
}

async fn another_replica_takes_over_from_one_that_is_killed(control_plane: &ControlPlane) -> Result<()> {
    let (installation, leader, other) = pair(control_plane, options("killed", Some(["4s", "3s", "1s"]))).await?;
    until_worked_on(control_plane, "killed-before").await?;
    let held = lease(control_plane, &installation).await?;
    let holder = held["spec"]["holderIdentity"].as_str().context("a holder")?;
    assert!(holder.starts_with(&format!("{}_", leader.pod())), "{holder}");

    leader.into_process().kill().await?;
    until_leads(&other).await?;
    until_worked_on(control_plane, "killed-after").await?;
    let taken = lease(control_plane, &installation).await?;
    let holder = taken["spec"]["holderIdentity"].as_str().context("a holder")?;
    assert!(holder.starts_with(&format!("{}_", other.pod())), "{holder}");
    let transitions = |lease: &Value| lease["spec"]["leaseTransitions"].as_i64().unwrap_or_default();
    assert_eq!(transitions(&taken), transitions(&held) + 1);
    Ok(())
}

async fn a_replica_that_is_asked_to_end_gives_the_lease_up(control_plane: &ControlPlane) -> Result<()> {
    // The Lease outlasts the test, so a takeover proves that it was released.
    let (_installation, leader, other) = pair(control_plane, options("asked", Some(["600s", "300s", "1s"]))).await?;
    let status = leader.into_process().terminate(WITHIN).await?;
    assert!(status.success(), "{status}");
    until_leads(&other).await?;
    until_worked_on(control_plane, "asked-after").await
}

async fn a_leader_that_has_lost_the_lease_ends_at_once(control_plane: &ControlPlane) -> Result<()> {
    let (installation, mut leader, other) = pair(control_plane, options("robbed", Some(["4s", "3s", "1s"]))).await?;
    patch_lease(control_plane, &installation, json!({"holderIdentity": "somebody-else"})).await?;
    let status = leader.wait(WITHIN).await?;
    assert_eq!(status.code(), Some(1), "{status}");
    let log = std::fs::read_to_string(leader.log())?;
    assert!(
        log.contains("leadership lost: the Lease is held by somebody-else"),
        "{log}"
    );
    // No process renews the Lease of somebody-else.
    until_leads(&other).await?;
    until_worked_on(control_plane, "robbed-after").await
}

/// The leader exits if its Lease is deleted, for example with the namespace: another replica may already be active.
async fn a_leader_whose_lease_is_deleted_ends_at_once(control_plane: &ControlPlane) -> Result<()> {
    let (installation, mut leader, other) = pair(control_plane, options("deleted", Some(["4s", "3s", "1s"]))).await?;
    // Otherwise the standby replica could acquire the Lease before the leader observes the deletion.
    other.into_process().terminate(WITHIN).await?;
    let delete = ["-n", installation.namespace(), "delete", "lease", LEASE];
    control_plane.kubectl().args(delete).ok().await?;
    let status = leader.wait(WITHIN).await?;
    assert_eq!(status.code(), Some(1), "{status}");
    let log = std::fs::read_to_string(leader.log())?;
    assert!(
        log.contains("leadership lost: the Lease was deleted, or its holder was removed"),
        "{log}"
    );
    let mut next = installation.start(shipped::CONTROLLER).await?;
    next.ready(WITHIN).await?;
    until_leads(&next).await?;
    until_worked_on(control_plane, "deleted-after").await
}

/// The leader is frozen, like a suspended machine or an isolated node, and resumes after another replica took over.
async fn a_leader_that_was_frozen_does_not_go_on(control_plane: &ControlPlane) -> Result<()> {
    let (_installation, mut leader, other) = pair(control_plane, options("frozen", Some(["4s", "3s", "1s"]))).await?;
    leader.send(Fault::Stop)?;
    until_leads(&other).await?;
    leader.send(Fault::Continue)?;
    let status = leader.wait(WITHIN).await?;
    assert_eq!(status.code(), Some(1), "{status}");
    assert!(leads(&other).await?);
    until_worked_on(control_plane, "frozen-after").await
}

#[tokio::test]
async fn a_leader_that_cannot_renew_exits_before_its_lease_expires() -> Result<()> {
    let control_plane = ControlPlane::start().await?;
    let (_installation, mut leader, mut other) =
        pair(&control_plane, options("cut-off", Some(["20s", "4s", "1s"]))).await?;
    control_plane.stop_api_server().await?;
    let begin = Instant::now();
    let status = leader.wait(WITHIN).await?;
    assert_eq!(status.code(), Some(1), "{status}");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    control_plane.start_api_server().await?;
    other.ensure_running()?;
    until_leads(&other).await?;
    until_worked_on(&control_plane, "after").await
}
