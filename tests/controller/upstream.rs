//! Tags that point to new images, on a real registry with a password.

use cnbi_shared::contract::IMPORT;
use cnbi_tests::fake_tekton::scenario::{Scenario, TaskFailure};
use cnbi_tests::installation::shipped;
use cnbi_tests::registry::{Image, PASSWORD, Registry, Setup};
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::cluster::{BUILDS, Cluster, Result, TARGET, TestNamespace, WITHIN, metric, said, tasks, until_metric};

const ANSWERED: &str = r#"cnbi_controller_registry_requests_total{result="success"}"#;

/// The resource's next run for that digest; the resource stays Ready.
async fn run_for(test_ns: &TestNamespace, uid: &str, digest: &str) -> Result<String> {
    let run = test_ns.run_of(uid).await?;
    let made: Value = serde_json::to_value(test_ns.runs().get(&run).await?)?;
    assert_eq!(made["metadata"]["annotations"]["meteor.zone/upstream-digest"], digest);
    let resource = test_ns
        .until("followed", "Reconciling", "True", "NewUpstreamTag")
        .await?;
    assert_eq!(said(&resource, "Ready")["status"], "True");
    assert_eq!(resource["status"]["phase"], "Ready");
    assert_eq!(resource["status"]["pipelineRun"]["name"], run);
    Ok(run)
}

fn found(digest: &str) -> Scenario {
    Scenario::succeeds(&tasks(&IMPORT)).with_result("digest", digest)
}

#[tokio::test]
async fn a_new_image_of_a_tag_is_published_after_validation() -> Result {
    let registry = Registry::start(Setup {
        has_password: true,
        ..Setup::default()
    })
    .await?;
    let first = registry
        .push("team/base:v1", &Image::new().label("is", "first"))
        .await?;
    let cluster = Cluster::whole().await?;
    let installation = cluster.install().await?;
    let address = registry.address();
    cluster
        .configure(&format!(
            "{{targetNamespace: {{default: {TARGET}}}, tracking: {{interval: 1s}}, network: {{insecureRegistries: ['{address}']}}}}"
        ))
        .await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let test_ns = cluster.test_ns("upstream").await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"}, "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": registry.docker_config().to_string()},
    });
    let secrets = test_ns.secrets(&test_ns.namespace);
    secrets
        .create(&PostParams::default(), &serde_json::from_value(secret)?)
        .await?;
    let spec = json!({
        "buildType": "ImageImport", "fromImage": format!("{address}/team/base:v1"), "imagePullSecret": {"name": "pull"},
    });
    let uid = test_ns.create("followed", spec).await?;
    let run = test_ns.run_of(&uid).await?;
    let simulation = test_ns.tekton().start(&run, found(&first)).await?;
    test_ns.publish("followed", "v1").await?;
    simulation.finish().await?;
    let ready = test_ns.until_ready("followed").await?;
    assert_eq!(ready["status"]["image"]["digest"], first);
    assert_eq!(said(&ready, "ImageStreamUpdated")["reason"], "TagUpdated");

    // While the tag has the same digest, nothing is built.
    until_metric(&controller, ANSWERED, 2).await?;
    assert_eq!(test_ns.runs_of(&uid).await?.len(), 1);

    let second = registry
        .push("team/base:v1", &Image::new().label("is", "second"))
        .await?;
    let run = run_for(&test_ns, &uid, &second).await?;
    test_ns.tekton().start(&run, found(&second)).await?.finish().await?;
    let taken = test_ns
        .until("followed", "ImageStreamUpdated", "True", "NewUpstreamTag")
        .await?;
    assert_eq!(taken["status"]["image"]["digest"], second);
    assert_eq!(said(&taken, "Reconciling")["status"], "False");

    let third = registry
        .push("team/base:v1", &Image::new().label("is", "third"))
        .await?;
    let run = run_for(&test_ns, &uid, &third).await?;
    let failure = TaskFailure::reported("probe", "ImageInvalid", "there is no Python");
    let scenario = Scenario::fails_at(&tasks(&IMPORT), "validate", failure)?;
    test_ns.tekton().start(&run, scenario).await?.finish().await?;
    let refused = test_ns
        .until("followed", "ImageStreamUpdated", "True", "NewUpstreamTagRefused")
        .await?;
    assert_eq!(said(&refused, "Ready")["status"], "True");
    assert_eq!(refused["status"]["image"]["digest"], second);
    let message = said(&refused, "ImageStreamUpdated")["message"]
        .as_str()
        .unwrap_or_default();
    assert!(
        message.contains(&third) && message.contains("there is no Python"),
        "{message}"
    );

    // Polling continues, and the same digest starts no further run.
    let runs = test_ns.runs_of(&uid).await?.len();
    let asked = metric(&controller, ANSWERED).await?;
    until_metric(&controller, ANSWERED, asked + 3).await?;
    assert_eq!(test_ns.runs_of(&uid).await?.len(), runs);

    let calls = r#"cnbi_controller_api_requests_total{verb="create",resource="pipelineruns",code="201"}"#;
    assert_eq!(metric(&controller, calls).await?, 3);
    for (name, value) in [
        (r#"completed_runs_total{type="ImageImport",result="Success"}"#, 2),
        (r#"completed_runs_total{type="ImageImport",result="ImageInvalid"}"#, 1),
        (r#"time_to_ready_seconds_count{type="ImageImport"}"#, 1),
    ] {
        assert_eq!(
            metric(&controller, &format!("cnbi_controller_{name}")).await?,
            value,
            "{name}"
        );
    }
    cluster.assert_nothing_was_forbidden()?;
    let log = std::fs::read_to_string(controller.log())?;
    assert!(!log.contains(PASSWORD));
    Ok(())
}

#[tokio::test]
async fn a_private_registry_is_called_with_the_configured_cas() -> Result {
    let registry = Registry::start(Setup {
        has_tls: true,
        ..Setup::default()
    })
    .await?;
    let digest = registry.push("team/base:v1", &Image::new()).await?;
    let cluster = Cluster::whole().await?;
    let installation = cluster.install().await?;
    cluster
        .configure(&format!(
            "{{targetNamespace: {{default: {TARGET}}}, tracking: {{interval: 1s}}, network: {{caConfigMap: authorities}}}}"
        ))
        .await?;
    let authority = std::fs::read_to_string(registry.authority().ok_or("no authority")?)?;
    cluster
        .apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "authorities", "namespace": BUILDS},
            "data": {"README": "whom we trust besides the public ones", "ours.pem": authority},
        }))
        .await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let test_ns = cluster.test_ns("house").await?;
    let image = format!("{}/team/base:v1", registry.address());
    let uid = test_ns
        .create("house", json!({"buildType": "ImageImport", "fromImage": image}))
        .await?;
    let run = test_ns.run_of(&uid).await?;
    let simulation = test_ns.tekton().start(&run, found(&digest)).await?;
    test_ns.publish("house", "v1").await?;
    simulation.finish().await?;
    test_ns.until_ready("house").await?;
    until_metric(&controller, ANSWERED, 1).await?;

    cluster
        .kubectl(&["-n", BUILDS, "delete", "configmap", "authorities"])
        .await?;
    let without = r#"cnbi_controller_registry_requests_total{result="no_authorities"}"#;
    until_metric(&controller, without, 1).await?;
    test_ns.until_ready("house").await?;
    cluster.assert_nothing_was_forbidden()?;
    Ok(())
}
