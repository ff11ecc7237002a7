//! What a resource leaves behind when somebody takes our finalizer off.

use cnbi_shared::contract::IMPORT;
use cnbi_tests::installation::shipped;
use cnbi_tests::process::Fault;
use serde_json::json;

use crate::cluster::{Cluster, Result, Stage, WITHIN, import, until};

async fn ready(stage: &Stage, name: &str) -> Result<String> {
    let uid = stage.create(name, import()).await?;
    stage.build(name, &uid, &IMPORT, "v0.2.2").await?;
    stage.until_ready(name).await?;
    Ok(uid)
}

async fn tear_away(stage: &Stage, name: &str) -> Result {
    stage.patch(name, json!({"metadata": {"finalizers": null}})).await?;
    stage.delete(name).await?;
    stage.until_gone(name).await
}

#[tokio::test]
async fn runs_go_after_their_resource_and_streams_where_it_was_seen_to_go() -> Result {
    let cluster = Cluster::whole().await?;
    let installation = cluster.install().await?;
    let stage = cluster.stage("team-a").await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let seen = ready(&stage, "seen").await?;
    let unseen = ready(&stage, "unseen").await?;
    let kept = ready(&stage, "kept").await?;

    controller.send(Fault::Stop)?;
    tear_away(&stage, "seen").await?;
    controller.send(Fault::Continue)?;
    until("the run and the ImageStream are gone", async || {
        Ok(stage.runs_of(&seen).await?.is_empty() && stage.streams().get_opt("seen").await?.is_none())
    })
    .await?;

    controller.into_process().terminate(WITHIN).await?;
    tear_away(&stage, "unseen").await?;
    let _controller = installation.start(shipped::CONTROLLER).await?;
    until("the run is gone", async || Ok(stage.runs_of(&unseen).await?.is_empty())).await?;
    assert!(
        stage.streams().get_opt("unseen").await?.is_some(),
        "nobody knows whether it was to stay"
    );
    assert_eq!(stage.runs_of(&kept).await?.len(), 1);
    stage.until_ready("kept").await?;
    Ok(())
}
