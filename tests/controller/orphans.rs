//! Objects that remain when a finalizer is removed by hand.

use cnbi_shared::contract::IMPORT;
use cnbi_tests::installation::shipped;
use cnbi_tests::process::Fault;
use serde_json::json;

use crate::cluster::{Cluster, Result, TestNamespace, WITHIN, import, until};

async fn ready(test_ns: &TestNamespace, name: &str) -> Result<String> {
    let uid = test_ns.create(name, import()).await?;
    test_ns.build(name, &uid, &IMPORT, "v0.2.2").await?;
    test_ns.until_ready(name).await?;
    Ok(uid)
}

async fn tear_away(test_ns: &TestNamespace, name: &str) -> Result {
    test_ns.patch(name, json!({"metadata": {"finalizers": null}})).await?;
    test_ns.delete(name).await?;
    test_ns.until_gone(name).await
}

#[tokio::test]
async fn orphaned_runs_and_image_streams_are_deleted() -> Result {
    let cluster = Cluster::whole().await?;
    let installation = cluster.install().await?;
    let test_ns = cluster.test_ns("team-a").await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let seen = ready(&test_ns, "seen").await?;
    let unseen = ready(&test_ns, "unseen").await?;
    let kept = ready(&test_ns, "kept").await?;

    controller.send(Fault::Stop)?;
    tear_away(&test_ns, "seen").await?;
    controller.send(Fault::Continue)?;
    until("the run and the ImageStream are gone", async || {
        Ok(test_ns.runs_of(&seen).await?.is_empty() && test_ns.streams().get_opt("seen").await?.is_none())
    })
    .await?;

    controller.into_process().terminate(WITHIN).await?;
    tear_away(&test_ns, "unseen").await?;
    let _controller = installation.start(shipped::CONTROLLER).await?;
    until("the run is gone", async || {
        Ok(test_ns.runs_of(&unseen).await?.is_empty())
    })
    .await?;
    assert!(
        test_ns.streams().get_opt("unseen").await?.is_some(),
        "without the finalizer, the ImageStream is kept"
    );
    assert_eq!(test_ns.runs_of(&kept).await?.len(), 1);
    test_ns.until_ready("kept").await?;
    Ok(())
}
