//! Where runs are made, and what has to be there for them.

use cnbi_shared::contract::IMPORT;
use cnbi_tests::installation::shipped;
use cnbi_tests::tekton::player::Player;
use cnbi_tests::tekton::{install, pipeline_runs};
use kube::api::ListParams;

use crate::cluster::{BUILDS, Cluster, Result, WITHIN, import, success};

#[tokio::test]
async fn what_is_installed_later_is_noticed_and_built_with() -> Result {
    let cluster = Cluster::bare().await?;
    let installation = cluster.install().await?;
    let stage = cluster.stage("team-a").await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let uid = stage.create("early", import()).await?;
    stage
        .until("early", "PipelineRunCreated", "False", "PipelineNotInstalled")
        .await?;
    install(&cluster.control_plane).await?;
    stage
        .until("early", "PipelineRunCreated", "False", "BuildNamespaceMissing")
        .await?;
    cluster.install_builds(BUILDS).await?;
    stage.build("early", &uid, &IMPORT, "v0.2.2").await?;
    stage.until_ready("early").await?;
    controller.ensure_running()?;
    Ok(())
}

#[tokio::test]
async fn runs_can_be_made_beside_their_resources() -> Result {
    let cluster = Cluster::whole().await?;
    let installation = cluster.install().await?;
    cluster
        .configure("targetNamespace: {default: opendatahub}\npipelines: {runNamespace: Own}")
        .await?;
    let stage = cluster.stage("team-a").await?;
    cluster.install_builds("team-a").await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let uid = stage.create("own", import()).await?;
    let player = Player::new(stage.client.clone(), "team-a");
    let run = player.appears(&format!("meteor.zone/uid={uid}")).await?;
    stage.publish("own", "v0.2.2").await?;
    player.play(&run, success(&IMPORT)).await?;
    let ready = stage.until_ready("own").await?;
    assert_eq!(ready["status"]["pipelineRun"]["namespace"], "team-a");
    let runs = pipeline_runs(&stage.client, "team-a");
    let owners = runs.get(&run).await?.metadata.owner_references.unwrap_or_default();
    assert_eq!(owners.first().map(|owner| &owner.uid), Some(&uid));
    stage.delete("own").await?;
    stage.until_gone("own").await?;
    assert_eq!(runs.list(&ListParams::default()).await?.items.len(), 0);
    Ok(())
}
