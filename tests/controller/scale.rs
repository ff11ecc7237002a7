//! Many resources: all are built within the limits, and stricter rules do not block existing ones.

use std::cell::Cell;
use std::io::Write as _;
use std::time::{Duration, Instant};

use cnbi_tests::fake_tekton::pipeline_runs;
use cnbi_tests::installation::{Installation, Replica, shipped};
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::cluster::{
    BUILDS, Cluster, Result, TestNamespace, WITHIN, held, import, is_write, metric, said, until, until_metric_is,
};
use crate::fake_builder::FakeBuilder;

/// Maximum writes per import, without Events: see `cost`, plus one for the waiting status.
const WRITES: usize = 9;

/// Maximum reads per import without watches: Pipeline, service accounts and others, which may be cached.
const READS: usize = 8;

/// Budget of resident memory per resource with its run and ImageStream, in KiB. `controller/tests/held.rs` measures the heap.
const MEMORY: usize = 20;

/// Maximum time to reconcile ten thousand settled resources at startup.
const RESTART: Duration = Duration::from_secs(15);

/// Retry interval of a queued resource that no event triggers.
const LOOKED_AGAIN: Duration = Duration::from_secs(10);

/// Fixed memory in KiB, independent of the number of resources: connection buffers, and program pages that are read
/// for the first time.
const SLACK: usize = 3 * 1024;

const TARGET: &str = "targetNamespace: {default: opendatahub}";

/// The number of resources; the environment can override it.
fn many() -> usize {
    let asked = std::env::var("CNBI_MANY").ok().and_then(|many| many.parse().ok());
    asked.unwrap_or(100)
}

async fn all(test_ns: &TestNamespace) -> Result<Vec<Value>> {
    let list = test_ns.resources().list(&ListParams::default()).await?;
    Ok(list
        .items
        .iter()
        .map(serde_json::to_value)
        .collect::<std::result::Result<_, _>>()?)
}

fn count(resources: &[Value], condition: &str, status: &str) -> usize {
    resources
        .iter()
        .filter(|resource| said(resource, condition)["status"] == status)
        .count()
}

/// Waits until all resources have the condition; the timeout grows with their number.
async fn until_all(test_ns: &TestNamespace, many: usize, condition: &str, status: &str) -> Result {
    let begin = Instant::now();
    let within = Duration::from_secs(60) + Duration::from_secs(1) * u32::try_from(many)?;
    loop {
        let count = count(&all(test_ns).await?, condition, status);
        if count == many {
            return Ok(());
        }
        assert!(
            begin.elapsed() < within,
            "{condition} is {status} of {count} of {many} after {within:?}"
        );
        // Listing ten thousand resources loads the API server, so poll rarely.
        tokio::time::sleep(Duration::from_millis(500) * (1 + u32::try_from(many)? / 1000)).await;
    }
}

/// The number of the controller's API requests.
struct Cost {
    reads: usize,
    writes: usize,
}

impl Cost {
    fn of(cluster: &Cluster) -> Result<Self> {
        let requests = cluster.requests()?;
        let is_read = |request: &&String| request.starts_with("get ") || request.starts_with("list ");
        Ok(Self {
            reads: requests.iter().filter(is_read).count(),
            writes: requests.iter().filter(|request| is_write(request)).count(),
        })
    }
}

/// Prints the measurements as one line for `make bench`, if requested.
fn tell(measured: &Value) -> Result {
    eprintln!("{measured}");
    if let Some(path) = std::env::var_os("CNBI_SCALE_RESULTS") {
        let mut file = std::fs::File::options().create(true).append(true).open(path)?;
        writeln!(file, "{measured}")?;
    }
    Ok(())
}

/// Restarts the controller and waits until it reconciled every resource without changes. Returns the duration and the number
/// of writes.
async fn looks_again(cluster: &Cluster, installation: &Installation<'_>, many: usize) -> Result<(Replica, f64, usize)> {
    let before = Cost::of(cluster)?.writes;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    let begin = Instant::now();
    controller.ready(WITHIN).await?;
    let visits = r#"cnbi_controller_reconcile_total{result="unchanged"}"#;
    while metric(&controller, visits).await? < u64::try_from(many)? {
        assert!(begin.elapsed() < RESTART, "not all are reconciled within {RESTART:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = begin.elapsed().as_secs_f64();
    Ok((controller, took, Cost::of(cluster)?.writes - before))
}

/// Requests and memory per resource are bounded; quadratic growth fails this test.
fn assert_each_is_cheap(cost: &Cost, many: usize, before: usize, after: usize) {
    let Cost { reads, writes } = *cost;
    eprintln!("{many} resources: {writes} writes, {reads} reads, {before} KiB before, {after} KiB after");
    assert!(writes <= WRITES * many, "{writes} writes");
    assert!(reads <= READS * many + 50, "{reads} reads");
    assert_little_memory(many, before, after);
}

fn assert_little_memory(many: usize, before: usize, after: usize) {
    assert!(
        after <= before + MEMORY * many + SLACK,
        "{before} KiB, then {after} KiB"
    );
}

#[tokio::test]
async fn many_at_once_are_built_and_stay_ready_when_rules_become_stricter() -> Result {
    let many = many();
    let cluster = Cluster::whole().await?;
    let installation = cluster.install().await?;
    cluster
        .configure(&format!(
            "{TARGET}\npipelines: {{maxConcurrent: {{total: 30, perNamespace: 30}}}}"
        ))
        .await?;
    let test_ns = cluster.test_ns("team-a").await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let before = controller.resident()?;
    controller.into_process().terminate(WITHIN).await?;
    for index in 0..many {
        test_ns.create(&format!("many-{index}"), import()).await?;
    }
    let _factory = FakeBuilder::start(&cluster, BUILDS).await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let begin = Instant::now();
    until_all(&test_ns, many, "Ready", "True").await?;
    let settled = begin.elapsed().as_secs_f64();
    let runs = pipeline_runs(&test_ns.client, BUILDS)
        .list(&ListParams::default())
        .await?
        .items
        .len();
    assert_eq!(runs, many);
    let (cost, worked) = (Cost::of(&cluster)?, controller.resident()?);
    assert_each_is_cheap(&cost, many, before, worked);

    let written = Cell::new(0);
    until("nothing is written any more", async || {
        let before = written.replace(Cost::of(&cluster)?.writes);
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(before == written.get())
    })
    .await?;
    controller.into_process().terminate(WITHIN).await?;
    let (controller, again, resync_writes) = looks_again(&cluster, &installation, many).await?;
    let knows = controller.resident()?;
    #[expect(clippy::cast_precision_loss, reason = "counts and KiB")]
    let each = |count: usize| (count as f64 / many as f64 * 100.0).round() / 100.0;
    tell(&json!({
        "resources": many,
        "settle_s": settled,
        "reads_per_resource": each(cost.reads),
        "writes_per_resource": each(cost.writes),
        "rss_kib_per_resource": each(worked.saturating_sub(before)),
        "resync_writes": resync_writes,
        "restart_s": again,
        "restart_rss_kib_per_resource": each(knows.saturating_sub(before)),
    }))?;
    assert_eq!(resync_writes, 0, "what is settled is left alone");
    assert_little_memory(many, before, knows);

    cluster
        .configure(&format!("{TARGET}\nimages: {{allowed: [registry.example]}}"))
        .await?;
    until_all(&test_ns, many, "WellFormed", "False").await?;
    assert_eq!(count(&all(&test_ns).await?, "Ready", "True"), many);
    let runs = pipeline_runs(&test_ns.client, BUILDS)
        .list(&ListParams::default())
        .await?
        .items
        .len();
    assert_eq!(runs, many, "nothing is built over a rule");
    Ok(())
}

#[tokio::test]
async fn concurrent_runs_are_limited_and_the_oldest_resource_is_next() -> Result {
    let cluster = Cluster::whole().await?;
    let installation = cluster.install().await?;
    let configuration = format!("{TARGET}\npipelines: {{maxConcurrent: {{total: 3, perNamespace: 2}}}}");
    cluster.configure(&configuration).await?;
    let (test_ns, other) = (cluster.test_ns("team-a").await?, cluster.test_ns("team-b").await?);
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let mut uids = Vec::new();
    for name in ["first", "second"] {
        uids.push(test_ns.create(name, import()).await?);
        test_ns.until(name, "Ready", "Unknown", "Building").await?;
    }
    for name in ["third", "fourth"] {
        uids.push(test_ns.create(name, import()).await?);
        let queued = test_ns.until(name, "PipelineRunCreated", "False", "Queued").await?;
        assert_eq!(queued["status"]["phase"], "Pending");
        // Ages have a resolution of one second.
        let second = queued["metadata"]["creationTimestamp"].clone();
        until("a second has passed", async || {
            let probe = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "clock"}});
            cluster.apply(&probe).await?;
            let now = cluster
                .kubectl(&["get", "namespace", "clock", "-o=jsonpath={.metadata.creationTimestamp}"])
                .await?;
            cluster
                .kubectl(&["delete", "namespace", "clock", "--wait=true"])
                .await?;
            Ok(second != now.as_str())
        })
        .await?;
    }
    // Resources that wait for their own namespace do not block others.
    other.create("elsewhere", import()).await?;
    other.until("elsewhere", "Ready", "Unknown", "Building").await?;

    let run = test_ns.run_of(&uids[0]).await?;
    let simulation = tokio::spawn(
        test_ns
            .tekton()
            .start(&run, held(&cnbi_shared::contract::IMPORT)?)
            .await?
            .finish(),
    );
    test_ns.delete("first").await?;
    test_ns.until_gone("first").await?;
    simulation.await??;
    let begin = Instant::now();
    test_ns.until("third", "Ready", "Unknown", "Building").await?;
    assert!(begin.elapsed() < LOOKED_AGAIN, "woken after {:?}", begin.elapsed());
    test_ns.until("fourth", "PipelineRunCreated", "False", "Queued").await?;
    assert_eq!(test_ns.runs_of(&uids[3]).await?.len(), 0);
    until_metric_is(&controller, "cnbi_controller_queued_resources", 1).await?;
    until_metric_is(&controller, r#"cnbi_controller_active_runs{type="ImageImport"}"#, 3).await?;
    Ok(())
}
