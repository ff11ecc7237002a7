//! What people do by hand, and what the controller makes of it.

use cnbi_shared::contract::{IMPORT, PACKAGE_LIST};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Result, Stage, held, import, said, until};

async fn delete_run(stage: &Stage, run: &str) -> Result {
    stage.runs().delete(run, &DeleteParams::background()).await?;
    Ok(())
}

async fn until_attempt(stage: &Stage, name: &str, attempt: u32) -> Result {
    until(&format!("{name} is at attempt {attempt}"), async || {
        Ok(stage.read(name).await?["status"]["pipelineRun"]["attempt"] == attempt)
    })
    .await
}

#[tokio::test]
async fn a_run_that_is_deleted_under_way_is_made_again_and_that_of_a_ready_resource_is_not() -> Result {
    let stage = Cluster::shared().await?.stage("hands-run").await?;
    let uid = stage.create("hands-run", import()).await?;
    let first = stage.run_of(&uid).await?;
    stage.until("hands-run", "Ready", "Unknown", "Building").await?;
    delete_run(&stage, &first).await?;
    until_attempt(&stage, "hands-run", 2).await?;
    let second = stage.build("hands-run", &uid, &IMPORT, "v0.2.2").await?;
    assert_ne!(first, second);
    stage.until_ready("hands-run").await?;

    delete_run(&stage, &second).await?;
    // An edit that starts no build: when its answer is there, the deletion was seen before it.
    let edit = json!({"metadata": {"annotations": {"opendatahub.io/notebook-image-desc": "edited"}}});
    stage.patch("hands-run", edit).await?;
    until("the stream has the new text", async || {
        let stream = stage.streams().get("hands-run").await?;
        Ok(stream
            .metadata
            .annotations
            .unwrap_or_default()
            .get("opendatahub.io/notebook-image-desc")
            == Some(&"edited".to_owned()))
    })
    .await?;
    assert_eq!(stage.runs_of(&uid).await?.len(), 0);
    stage.until_ready("hands-run").await?;
    Ok(())
}

#[tokio::test]
async fn an_image_stream_that_is_deleted_is_built_again_and_one_that_is_edited_is_put_right() -> Result {
    let stage = Cluster::shared().await?.stage("hands-stream").await?;
    let uid = stage.create("hands-stream", import()).await?;
    stage.build("hands-stream", &uid, &IMPORT, "v0.2.2").await?;
    stage.until_ready("hands-stream").await?;

    let name = |name: &str| json!({"metadata": {"annotations": {"opendatahub.io/notebook-image-name": name}}});
    let edit = Patch::Merge(name("somebody's own"));
    stage
        .streams()
        .patch("hands-stream", &PatchParams::default(), &edit)
        .await?;
    until("the display name is the resource's again", async || {
        let stream = serde_json::to_value(stage.streams().get("hands-stream").await?)?;
        Ok(stream["metadata"]["annotations"]["opendatahub.io/notebook-image-name"] == "hands-stream")
    })
    .await?;
    // A label that nobody but us looks at is taken off: the stream is there all the same.
    let bare = Patch::Merge(json!({"metadata": {"labels": {"opendatahub.io/notebook-image": null}}}));
    stage
        .streams()
        .patch("hands-stream", &PatchParams::default(), &bare)
        .await?;
    stage.patch("hands-stream", name("renamed")).await?;
    until("the display name is the new one", async || {
        let stream = serde_json::to_value(stage.streams().get("hands-stream").await?)?;
        Ok(stream["metadata"]["annotations"]["opendatahub.io/notebook-image-name"] == "renamed")
    })
    .await?;
    assert_eq!(stage.runs_of(&uid).await?.len(), 1, "nothing is built over a label");

    stage.streams().delete("hands-stream", &DeleteParams::default()).await?;
    stage.patch("hands-stream", name("again")).await?;
    stage.build("hands-stream", &uid, &IMPORT, "v0.2.2").await?;
    until_attempt(&stage, "hands-stream", 2).await?;
    stage.until_ready("hands-stream").await?;
    Ok(())
}

#[tokio::test]
async fn a_namesake_made_at_once_does_not_take_over_the_dying_run() -> Result {
    let stage = Cluster::shared().await?.stage("hands-namesake").await?;
    let first = stage.create("namesake", import()).await?;
    let run = stage.run_of(&first).await?;
    let simulation = tokio::spawn(stage.tekton().start(&run, held(&IMPORT)?).await?.finish());
    stage.until("namesake", "Ready", "Unknown", "Building").await?;
    stage.delete("namesake").await?;
    stage.until_gone("namesake").await?;
    let second = stage.create("namesake", import()).await?;
    assert_ne!(first, second);
    let own = stage.build("namesake", &second, &IMPORT, "v0.2.2").await?;
    assert_ne!(run, own);
    let ready = stage.until_ready("namesake").await?;
    assert_eq!(ready["status"]["history"].as_array().map(Vec::len), Some(1));
    simulation.await??;
    assert_eq!(stage.runs_of(&first).await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn what_is_stored_against_a_fixed_rule_gets_no_run_and_a_status_that_says_why() -> Result {
    let stage = Cluster::shared().await?.stage("hands-ill-formed").await?;
    // The schema cannot know what a requirement is.
    let packages = |package: &str| json!({"buildType": "PackageList", "builderImage": "quay.io/a/b:v1", "packageVersions": [package]});
    let uid = stage.create("ill-formed", packages("pandas=1.2")).await?;
    let told = stage.until("ill-formed", "WellFormed", "False", "CNB202").await?;
    assert_eq!(said(&told, "Stalled")["status"], "True");
    assert_eq!(told["status"]["phase"], "Failed");
    assert_eq!(told["metadata"]["finalizers"], Value::Null);
    assert_eq!(stage.runs_of(&uid).await?.len(), 0);
    stage
        .patch("ill-formed", json!({"spec": packages("pandas==1.2")}))
        .await?;
    stage.build("ill-formed", &uid, &PACKAGE_LIST, "v2").await?;
    stage.until_ready("ill-formed").await?;
    Ok(())
}
