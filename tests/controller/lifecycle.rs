//! The lifecycle of a resource: run, image, change, deletion.

use cnbi_shared::contract::IMPORT;
use cnbi_tests::fake_tekton::RunOutcome;
use serde_json::json;

use crate::cluster::{BUILDS, Cluster, DIGEST, Result, TARGET, held, import, said, success, until};

#[tokio::test]
async fn an_import_creates_a_run_and_becomes_ready_with_its_image() -> Result {
    let test_ns = Cluster::shared().await?.test_ns("life-import").await?;
    let uid = test_ns.create("one", import()).await?;
    let run = test_ns.run_of(&uid).await?;
    let building = test_ns.until("one", "Ready", "Unknown", "Building").await?;
    let status = &building["status"];
    assert_eq!(
        (&status["phase"], &status["step"]),
        (&json!("Building"), &json!("Importing"))
    );
    assert_eq!(status["pipelineRun"]["name"], run);
    assert_eq!(status["pipelineRun"]["namespace"], BUILDS);
    assert_eq!(status["pipelineRun"]["attempt"], 1);
    assert_eq!(building["metadata"]["finalizers"], json!(["meteor.zone/cleanup"]));

    let mut simulation = test_ns.tekton().start(&run, success(&IMPORT)).await?;
    simulation.until_running("validate").await?;
    until("it is validating", async || {
        Ok(test_ns.read("one").await?["status"]["step"] == "Validating")
    })
    .await?;
    simulation.until_running("update-imagestream").await?;
    test_ns.publish("one", "v0.2.2").await?;
    simulation.finish().await?;

    let ready = test_ns.until_ready("one").await?;
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
async fn deletion_removes_run_and_image_stream() -> Result {
    let test_ns = Cluster::shared().await?.test_ns("life-deletion").await?;
    let uid = test_ns.create("gone", import()).await?;
    test_ns.build("gone", &uid, &IMPORT, "v0.2.2").await?;
    test_ns.until_ready("gone").await?;
    test_ns.delete("gone").await?;
    test_ns.until_gone("gone").await?;
    assert!(test_ns.streams().get_opt("gone").await?.is_none());
    assert_eq!(test_ns.runs_of(&uid).await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_changed_tag_cancels_the_active_run_and_creates_a_new_one() -> Result {
    let test_ns = Cluster::shared().await?.test_ns("life-change").await?;
    let uid = test_ns.create("changed", import()).await?;
    let first = test_ns.run_of(&uid).await?;
    let simulation = tokio::spawn(test_ns.tekton().start(&first, held(&IMPORT)?).await?.finish());
    test_ns.until("changed", "Ready", "Unknown", "Building").await?;
    let image = "quay.io/thoth-station/s2i-minimal-py38-notebook:v0.3.0";
    test_ns.patch("changed", json!({"spec": {"fromImage": image}})).await?;
    assert_eq!(simulation.await??, RunOutcome::Cancelled);

    let second = test_ns.build("changed", &uid, &IMPORT, "v0.3.0").await?;
    assert_ne!(first, second);
    let ready = test_ns.until_ready("changed").await?;
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
