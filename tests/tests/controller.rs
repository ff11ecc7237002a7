//! The controller on a real API server, with the rights of its own service account and no others.
//!
//! It looks after a whole cluster, so every test has a control plane of its own.

use std::fs;
use std::time::{Duration, Instant};

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::{Installation, Replica, shipped};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const WITHIN: Duration = Duration::from_secs(30);

/// A namespace about which no webhook is asked: what is stored there is what somebody stored.
const NAMESPACE: &str = "team-a";

/// A creator that CNB012 refuses, which a configuration can turn off.
const BLANK_CREATOR: &str = " ";

struct Cluster {
    control_plane: ControlPlane,
}

impl Cluster {
    async fn start() -> Result<Self> {
        let control_plane = ControlPlane::start().await?;
        control_plane
            .kubectl()
            .args(["create", "namespace", NAMESPACE])
            .ok()
            .await?;
        Ok(Self { control_plane })
    }

    async fn install(&self) -> Result<Installation<'_>> {
        Ok(Installation::install(&self.control_plane, shipped::default(Some("tested"))).await?)
    }

    async fn create(&self, name: &str, creator: &str, spec: Value) -> Result<()> {
        let resource = json!({
            "apiVersion": "meteor.zone/v1alpha1",
            "kind": "CustomNBImage",
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "annotations": { "opendatahub.io/notebook-image-creator": creator },
            },
            "spec": spec,
        });
        let create = self
            .control_plane
            .kubectl()
            .args(["create", "-f", "-"])
            .stdin(resource.to_string());
        create.ok().await?;
        Ok(())
    }

    async fn read(&self, name: &str) -> Result<Value> {
        let args = ["-n", NAMESPACE, "get", "customnbimage", name, "-o=json"];
        Ok(serde_json::from_str(
            &self.control_plane.kubectl().args(args).ok().await?,
        )?)
    }

    async fn configure(&self, installation: &Installation<'_>, yaml: &str) -> Result<()> {
        let patch = json!({"data": {"config.yaml": yaml}}).to_string();
        let args = [
            "-n",
            installation.namespace(),
            "patch",
            "configmap",
            "cnbi-config",
            "--type=merge",
            "-p",
            &patch,
        ];
        self.control_plane.kubectl().args(args).ok().await?;
        Ok(())
    }

    /// Waits until the condition is as wanted, and gives the resource.
    async fn until_well_formed(&self, name: &str, status: &str, reason: &str) -> Result<Value> {
        let begin = Instant::now();
        loop {
            let resource = self.read(name).await?;
            let condition = &resource["status"]["conditions"][0];
            if condition["type"] == "WellFormed" && condition["status"] == status && condition["reason"] == reason {
                return Ok(resource);
            }
            if begin.elapsed() > WITHIN {
                return Err(format!("{name} is not WellFormed={status} {reason} but {}", resource["status"]).into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the controller asked of the API server, as `verb code`.
    fn requests(&self, installation: &Installation<'_>) -> Result<Vec<String>> {
        let user = format!("system:serviceaccount:{}:cnbi-controller", installation.namespace());
        let log = fs::read_to_string(self.control_plane.audit_log())?;
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(events
            .filter(|event| event["user"]["username"] == *user && event["stage"] == "ResponseComplete")
            .map(|event| {
                format!(
                    "{} {}",
                    event["verb"].as_str().unwrap_or_default(),
                    event["responseStatus"]["code"]
                )
            })
            .collect())
    }

    fn writes(&self, installation: &Installation<'_>) -> Result<usize> {
        let reads = ["get ", "list ", "watch "];
        let requests = self.requests(installation)?;
        Ok(requests
            .iter()
            .filter(|request| !reads.iter().any(|read| request.starts_with(read)))
            .count())
    }
}

async fn get(replica: &Replica, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", replica.port("metrics")?)).await?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The value of a metric with its labels as they are printed; 0 where it was never counted.
async fn metric(replica: &Replica, name: &str) -> Result<u64> {
    let text = get(replica, "/metrics").await?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    Ok(value.unwrap_or(0))
}

async fn until_metric(replica: &Replica, name: &str, at_least: u64) -> Result<()> {
    let begin = Instant::now();
    while metric(replica, name).await? < at_least {
        if begin.elapsed() > WITHIN {
            return Err(format!("{name} is not {at_least}:\n{}", get(replica, "/metrics").await?).into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn good() -> Value {
    json!({"buildType": "ImageImport", "fromImage": "quay.io/thoth-station/s2i-minimal-py38-notebook:v0.2.2"})
}

#[tokio::test]
async fn a_stored_resource_is_judged_by_the_rules_in_force() -> Result<()> {
    let cluster = Cluster::start().await?;
    let installation = cluster.install().await?;
    cluster.create("before", "alice", good()).await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;

    let passed = cluster.until_well_formed("before", "True", "RulesPassed").await?;
    assert_eq!(passed["status"]["observedGeneration"], passed["metadata"]["generation"]);
    assert_eq!(
        passed["status"]["conditions"][0]["observedGeneration"],
        passed["metadata"]["generation"]
    );
    assert_eq!(passed["spec"], good(), "defaults stay in memory");

    cluster.create("blank", BLANK_CREATOR, good()).await?;
    let refused = cluster.until_well_formed("blank", "False", "CNB012").await?;
    let condition = &refused["status"]["conditions"][0];
    let message = condition["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("metadata.annotations[opendatahub.io/notebook-image-creator]: "),
        "{message}"
    );

    cluster
        .configure(
            &installation,
            "targetNamespace: {default: opendatahub}\nrules: {CNB012: Off}",
        )
        .await?;
    cluster.until_well_formed("blank", "True", "RulesPassed").await?;
    cluster
        .configure(&installation, "targetNamespace: {default: opendatahub}")
        .await?;
    cluster.until_well_formed("blank", "False", "CNB012").await?;

    let ended = controller.into_process().terminate(Duration::from_secs(10)).await?;
    assert!(ended.success(), "{ended}");
    let requests = cluster.requests(&installation)?;
    assert!(
        !requests.iter().any(|request| request.ends_with(" 403")),
        "{requests:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_look_that_finds_nothing_to_do_writes_nothing() -> Result<()> {
    let cluster = Cluster::start().await?;
    let installation = cluster.install().await?;
    for (name, creator) in [("one", "alice"), ("two", "bob"), ("three", BLANK_CREATOR)] {
        cluster.create(name, creator, good()).await?;
    }
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let mut before = Vec::new();
    for (name, status, reason) in [
        ("one", "True", "RulesPassed"),
        ("two", "True", "RulesPassed"),
        ("three", "False", "CNB012"),
    ] {
        before.push(cluster.until_well_formed(name, status, reason).await?);
    }
    assert_eq!(cluster.writes(&installation)?, 3, "one write a resource");

    // A configuration that changes no verdict, and a controller that has seen nothing yet: both look at everything.
    let seen = metric(&controller, "cnbi_controller_visits_total{outcome=\"unchanged\"}").await?;
    cluster
        .configure(
            &installation,
            "targetNamespace: {default: opendatahub}\nrepositories: {allowed: [example.com]}",
        )
        .await?;
    until_metric(
        &controller,
        "cnbi_controller_visits_total{outcome=\"unchanged\"}",
        seen + 3,
    )
    .await?;
    controller.into_process().terminate(Duration::from_secs(10)).await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    until_metric(&controller, "cnbi_controller_visits_total{outcome=\"unchanged\"}", 3).await?;

    assert_eq!(
        metric(&controller, "cnbi_controller_visits_total{outcome=\"written\"}").await?,
        0
    );
    assert_eq!(cluster.writes(&installation)?, 3);
    for resource in before {
        let name = resource["metadata"]["name"].as_str().unwrap_or_default();
        assert_eq!(cluster.read(name).await?, resource);
    }
    Ok(())
}

#[tokio::test]
async fn a_bad_configuration_is_told_and_the_last_good_one_stays() -> Result<()> {
    let cluster = Cluster::start().await?;
    let installation = cluster.install().await?;
    cluster.configure(&installation, "rules: {CNB012: Sometimes}").await?;
    cluster.create("blank", BLANK_CREATOR, good()).await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    // Without a good one it says so, and judges nothing.
    cluster
        .until_well_formed("blank", "Unknown", "ConfigurationMissing")
        .await?;
    let answer = get(&controller, "/readyz").await?;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("Sometimes"),
        "{answer}"
    );
    assert!(get(&controller, "/livez").await?.starts_with("HTTP/1.1 200 "));

    cluster.configure(&installation, "rules: {CNB012: Off}").await?;
    controller.ready(WITHIN).await?;
    cluster.until_well_formed("blank", "True", "RulesPassed").await?;

    cluster.configure(&installation, "rulse: {}").await?;
    until_metric(
        &controller,
        "cnbi_controller_configuration_loads_total{valid=\"false\"}",
        2,
    )
    .await?;
    assert_eq!(metric(&controller, "cnbi_controller_configuration_valid").await?, 0);
    assert!(get(&controller, "/readyz").await?.starts_with("HTTP/1.1 200 "));
    cluster.create("later", BLANK_CREATOR, good()).await?;
    cluster.until_well_formed("later", "True", "RulesPassed").await?;
    Ok(())
}
