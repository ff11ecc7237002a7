//! A resource's life when all goes well: a run, an image, a change, the end.

use cnbi_shared::contract::IMPORT;
use cnbi_tests::fake_tekton::RunOutcome;
use serde_json::json;

use crate::cluster::{BUILDS, Cluster, DIGEST, Result, TARGET, held, import, said, success, until};

#[tokio::test]
async fn an_import_becomes_a_run_and_is_ready_when_its_image_is() -> Result {
    let stage = Cluster::shared().await?.stage("life-import").await?;
    let uid = stage.create("one", import()).await?;
    let run = stage.run_of(&uid).await?;
    let building = stage.until("one", "Ready", "Unknown", "Building").await?;
    let status = &building["status"];
    assert_eq!(
        (&status["phase"], &status["step"]),
        (&json!("Building"), &json!("Importing"))
    );
    assert_eq!(status["pipelineRun"]["name"], run);
    assert_eq!(status["pipelineRun"]["namespace"], BUILDS);
    assert_eq!(status["pipelineRun"]["attempt"], 1);
    assert_eq!(building["metadata"]["finalizers"], json!(["meteor.zone/cleanup"]));

    let mut simulation = stage.tekton().start(&run, success(&IMPORT)).await?;
    simulation.until_running("validate").await?;
    until("it is validating", async || {
        Ok(stage.read("one").await?["status"]["step"] == "Validating")
    })
    .await?;
    simulation.until_running("update-imagestream").await?;
    stage.publish("one", "v0.2.2").await?;
    simulation.finish().await?;

    let ready = stage.until_ready("one").await?;
    let status = &ready["status"];
    assert_eq!(
        (&status["phase"], &status["step"]),
        (&json!("Ready"), &json!("Success"))
    );
    assert_eq!(status["image"]["digest"], DIGEST);
    assert_eq!(
        status["imageStream"],
        json!({"namespace": TARGET, "name": "one", "tag": "v0.2.2"})
    );
    assert!(status["pipelineRun"]["completionTime"].is_string(), "{status}");
    assert_eq!(status["history"][0]["outcome"], "Success");
    for condition in [
        "WellFormed",
        "PipelineRunCreated",
        "ImageValidated",
        "ImageStreamUpdated",
    ] {
        assert_eq!(said(&ready, condition)["status"], "True", "{condition}");
    }
    Ok(())
}

#[tokio::test]
async fn deletion_takes_run_and_image_stream_along() -> Result {
    let stage = Cluster::shared().await?.stage("life-deletion").await?;
    let uid = stage.create("gone", import()).await?;
    stage.build("gone", &uid, &IMPORT, "v0.2.2").await?;
    stage.until_ready("gone").await?;
    stage.delete("gone").await?;
    stage.until_gone("gone").await?;
    assert!(stage.streams().get_opt("gone").await?.is_none());
    assert_eq!(stage.runs_of(&uid).await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn another_tag_ends_the_run_before_it_and_is_a_run_of_its_own() -> Result {
    let stage = Cluster::shared().await?.stage("life-change").await?;
    let uid = stage.create("changed", import()).await?;
    let first = stage.run_of(&uid).await?;
    let simulation = tokio::spawn(stage.tekton().start(&first, held(&IMPORT)?).await?.finish());
    stage.until("changed", "Ready", "Unknown", "Building").await?;
    let image = "quay.io/thoth-station/s2i-minimal-py38-notebook:v0.3.0";
    stage.patch("changed", json!({"spec": {"fromImage": image}})).await?;
    assert_eq!(simulation.await??, RunOutcome::Cancelled);

    let second = stage.build("changed", &uid, &IMPORT, "v0.3.0").await?;
    assert_ne!(first, second);
    let ready = stage.until_ready("changed").await?;
    assert_eq!(ready["status"]["imageStream"]["tag"], "v0.3.0");
    assert_eq!(ready["status"]["pipelineRun"]["name"], second);
    let past: Vec<_> = ready["status"]["history"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|past| (past["generation"].as_i64(), past["outcome"].as_str()))
        .collect();
    assert_eq!(past, [(Some(2), Some("Success")), (Some(1), Some("Cancelled"))]);
    Ok(())
}
