//! Build namespaces and what has to exist in them.

use cnbi_shared::contract::IMPORT;
use cnbi_tests::fake_tekton::FakeTekton;
use cnbi_tests::fake_tekton::{install, pipeline_runs};
use cnbi_tests::installation::shipped;
use kube::api::ListParams;
use serde_json::json;

use crate::cluster::{BUILDS, Cluster, Result, TARGET, WITHIN, get, import, metric, said, success};

const TEKTON: &str = "cnbi_controller_api_available{api=\"tekton.dev\"}";

#[tokio::test]
async fn prerequisites_installed_later_are_noticed() -> Result {
    let cluster = Cluster::bare().await?;
    let installation = cluster.install().await?;
    let test_ns = cluster.test_ns("team-a").await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let uid = test_ns.create("early", import()).await?;
    test_ns
        .until("early", "PipelineRunCreated", "False", "PipelineNotInstalled")
        .await?;
    assert!(get(&controller, "/metrics").await?.contains(&format!("{TEKTON} 0\n")));
    install(&cluster.control_plane).await?;
    test_ns
        .until("early", "PipelineRunCreated", "False", "BuildNamespaceMissing")
        .await?;
    cluster.install_builds(BUILDS).await?;
    test_ns.build("early", &uid, &IMPORT, "v0.2.2").await?;
    test_ns.until_ready("early").await?;
    assert_eq!(metric(&controller, TEKTON).await?, 1);
    controller.ensure_running()?;
    Ok(())
}

#[tokio::test]
async fn runs_can_be_created_in_the_namespace_of_their_resources() -> Result {
    let cluster = Cluster::whole().await?;
    let installation = cluster.install().await?;
    cluster
        .configure("targetNamespace: {default: opendatahub}\npipelines: {runNamespace: Own}")
        .await?;
    let test_ns = cluster.test_ns("team-a").await?;
    cluster.install_builds("team-a").await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let uid = test_ns.create("own", import()).await?;
    let tekton = FakeTekton::new(test_ns.client.clone(), "team-a");
    let run = tekton.wait_for_run(&format!("meteor.zone/uid={uid}")).await?;
    test_ns.publish("own", "v0.2.2").await?;
    tekton.simulate(&run, success(&IMPORT)).await?;
    let ready = test_ns.until_ready("own").await?;
    assert_eq!(ready["status"]["pipelineRun"]["namespace"], "team-a");
    let runs = pipeline_runs(&test_ns.client, "team-a");
    let owners = runs.get(&run).await?.metadata.owner_references.unwrap_or_default();
    assert_eq!(owners.first().map(|owner| &owner.uid), Some(&uid));
    test_ns.delete("own").await?;
    test_ns.until_gone("own").await?;
    assert_eq!(runs.list(&ListParams::default()).await?.items.len(), 0);
    Ok(())
}

#[tokio::test]
async fn missing_permission_to_copy_the_pull_secret_is_reported() -> Result {
    let cluster = Cluster::whole().await?;
    let installation = cluster.install().await?;
    cluster
        .configure(
            "targetNamespace: {default: opendatahub}\npullSecrets: {copyToTarget: true}\nretry: {base: 1s, max: 2s}",
        )
        .await?;
    let test_ns = cluster.test_ns("team-a").await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": "pull", "namespace": "team-a"},
        "stringData": {".dockerconfigjson": json!({"auths": {"quay.io": {"auth": "cXVheQ=="}}}).to_string()},
    });
    cluster.apply(&secret).await?;
    let mut spec = import();
    spec["imagePullSecret"] = json!({"name": "pull"});
    let uid = test_ns.create("copied", spec).await?;
    let told = test_ns
        .until("copied", "PipelineRunCreated", "False", "PipelineRunCreateFailed")
        .await?;
    let message = said(&told, "PipelineRunCreated")["message"]
        .as_str()
        .unwrap_or_default();
    assert!(
        message.contains("cannot copy the pull secret to opendatahub/"),
        "{message}"
    );
    assert_eq!(test_ns.runs_of(&uid).await?.len(), 0);

    cluster.install_as_shipped("pull-secrets", TARGET).await?;
    test_ns.build("copied", &uid, &IMPORT, "v0.2.2").await?;
    test_ns.until_ready("copied").await?;
    let of_resource = ListParams::default().labels(&format!("meteor.zone/uid={uid}"));
    let copies = test_ns.secrets(TARGET);
    assert_eq!(copies.list(&of_resource).await?.items.len(), 1);
    test_ns.delete("copied").await?;
    test_ns.until_gone("copied").await?;
    assert_eq!(copies.list(&of_resource).await?.items.len(), 0);
    assert_eq!(test_ns.secrets(BUILDS).list(&of_resource).await?.items.len(), 0);
    Ok(())
}
