//! Manual changes to runs and ImageStreams.

use cnbi_shared::contract::{IMPORT, PACKAGE_LIST};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Result, TestNamespace, held, import, said, until};

async fn delete_run(test_ns: &TestNamespace, run: &str) -> Result {
    test_ns.runs().delete(run, &DeleteParams::background()).await?;
    Ok(())
}

async fn until_attempt(test_ns: &TestNamespace, name: &str, attempt: u32) -> Result {
    until(&format!("{name} is at attempt {attempt}"), async || {
        Ok(test_ns.read(name).await?["status"]["pipelineRun"]["attempt"] == attempt)
    })
    .await
}

#[tokio::test]
async fn a_deleted_active_run_is_recreated_and_that_of_a_ready_resource_is_not() -> Result {
    let test_ns = Cluster::shared().await?.test_ns("hands-run").await?;
    let uid = test_ns.create("hands-run", import()).await?;
    let first = test_ns.run_of(&uid).await?;
    test_ns.until("hands-run", "Ready", "Unknown", "Building").await?;
    delete_run(&test_ns, &first).await?;
    until_attempt(&test_ns, "hands-run", 2).await?;
    let second = test_ns.build("hands-run", &uid, &IMPORT, "v0.2.2").await?;
    assert_ne!(first, second);
    test_ns.until_ready("hands-run").await?;

    delete_run(&test_ns, &second).await?;
    // An edit that starts no build: once it is reconciled, so is the earlier deletion.
    let edit = json!({"metadata": {"annotations": {"opendatahub.io/notebook-image-desc": "edited"}}});
    test_ns.patch("hands-run", edit).await?;
    until("the stream has the new text", async || {
        let stream = test_ns.streams().get("hands-run").await?;
        Ok(stream
            .metadata
            .annotations
            .unwrap_or_default()
            .get("opendatahub.io/notebook-image-desc")
            == Some(&"edited".to_owned()))
    })
    .await?;
    assert_eq!(test_ns.runs_of(&uid).await?.len(), 0);
    test_ns.until_ready("hands-run").await?;
    Ok(())
}

#[tokio::test]
async fn a_deleted_image_stream_is_rebuilt_and_an_edited_one_restored() -> Result {
    let test_ns = Cluster::shared().await?.test_ns("hands-stream").await?;
    let uid = test_ns.create("hands-stream", import()).await?;
    test_ns.build("hands-stream", &uid, &IMPORT, "v0.2.2").await?;
    test_ns.until_ready("hands-stream").await?;

    let name = |name: &str| json!({"metadata": {"annotations": {"opendatahub.io/notebook-image-name": name}}});
    let edit = Patch::Merge(name("somebody's own"));
    test_ns
        .streams()
        .patch("hands-stream", &PatchParams::default(), &edit)
        .await?;
    until("the display name is the resource's again", async || {
        let stream = serde_json::to_value(test_ns.streams().get("hands-stream").await?)?;
        Ok(stream["metadata"]["annotations"]["opendatahub.io/notebook-image-name"] == "hands-stream")
    })
    .await?;
    // Removing a label that only the controller uses does not hide the stream.
    let bare = Patch::Merge(json!({"metadata": {"labels": {"opendatahub.io/notebook-image": null}}}));
    test_ns
        .streams()
        .patch("hands-stream", &PatchParams::default(), &bare)
        .await?;
    test_ns.patch("hands-stream", name("renamed")).await?;
    until("the display name is the new one", async || {
        let stream = serde_json::to_value(test_ns.streams().get("hands-stream").await?)?;
        Ok(stream["metadata"]["annotations"]["opendatahub.io/notebook-image-name"] == "renamed")
    })
    .await?;
    assert_eq!(test_ns.runs_of(&uid).await?.len(), 1, "nothing is built over a label");

    test_ns
        .streams()
        .delete("hands-stream", &DeleteParams::default())
        .await?;
    test_ns.patch("hands-stream", name("again")).await?;
    test_ns.build("hands-stream", &uid, &IMPORT, "v0.2.2").await?;
    until_attempt(&test_ns, "hands-stream", 2).await?;
    test_ns.until_ready("hands-stream").await?;
    Ok(())
}

#[tokio::test]
async fn a_recreated_resource_does_not_adopt_the_run_of_the_deleted_one() -> Result {
    let test_ns = Cluster::shared().await?.test_ns("hands-namesake").await?;
    let first = test_ns.create("namesake", import()).await?;
    let run = test_ns.run_of(&first).await?;
    let simulation = tokio::spawn(test_ns.tekton().start(&run, held(&IMPORT)?).await?.finish());
    test_ns.until("namesake", "Ready", "Unknown", "Building").await?;
    test_ns.delete("namesake").await?;
    test_ns.until_gone("namesake").await?;
    let second = test_ns.create("namesake", import()).await?;
    assert_ne!(first, second);
    let own = test_ns.build("namesake", &second, &IMPORT, "v0.2.2").await?;
    assert_ne!(run, own);
    let ready = test_ns.until_ready("namesake").await?;
    assert_eq!(ready["status"]["history"].as_array().map(Vec::len), Some(1));
    simulation.await??;
    assert_eq!(test_ns.runs_of(&first).await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_stored_resource_that_violates_a_fixed_rule_gets_no_run() -> Result {
    let test_ns = Cluster::shared().await?.test_ns("hands-ill-formed").await?;
    // The schema does not validate requirements.
    let packages = |package: &str| json!({"buildType": "PackageList", "builderImage": "quay.io/a/b:v1", "packageVersions": [package]});
    let uid = test_ns.create("ill-formed", packages("pandas=1.2")).await?;
    let told = test_ns.until("ill-formed", "WellFormed", "False", "CNB202").await?;
    assert_eq!(said(&told, "Stalled")["status"], "True");
    assert_eq!(told["status"]["phase"], "Failed");
    assert_eq!(told["metadata"]["finalizers"], Value::Null);
    assert_eq!(test_ns.runs_of(&uid).await?.len(), 0);
    test_ns
        .patch("ill-formed", json!({"spec": packages("pandas==1.2")}))
        .await?;
    test_ns.build("ill-formed", &uid, &PACKAGE_LIST, "v2").await?;
    test_ns.until_ready("ill-formed").await?;
    Ok(())
}
