//! What is in Git stays what is on the cluster: defaults and status are no differences.

use cnbi_shared::contract::IMPORT;
use serde_json::{Value, json};

use crate::cluster::{Result, Stage};
use crate::site::{Site, resource};

async fn diff(site: &Site, stage: &Stage, manifest: &Value, more: &[&str]) -> Result {
    let diff = site.kubectl(&stage.namespace).args(["diff", "-f", "-"]).args(more);
    let answer = diff.stdin(manifest.to_string()).run().await?;
    assert!(
        answer.success && answer.stdout.is_empty(),
        "{more:?}: {}{}",
        answer.stdout,
        answer.stderr
    );
    Ok(())
}

async fn apply(site: &Site, stage: &Stage, manifest: &Value, more: &[&str]) -> Result<String> {
    let apply = site.kubectl(&stage.namespace).args(["apply", "-f", "-"]).args(more);
    Ok(apply.stdin(manifest.to_string()).ok().await?)
}

fn import() -> Value {
    json!({"buildType": "ImageImport", "fromImage": "quay.io/thoth-station/s2i-minimal-py38-notebook:v0.2.2"})
}

/// Applied, built and Ready, waiting with kubectl as a pipeline would.
async fn ready(site: &Site, stage: &Stage, name: &str, more: &[&str]) -> Result<Value> {
    let manifest = resource(&stage.namespace, name, &import());
    apply(site, stage, &manifest, more).await?;
    diff(site, stage, &manifest, more).await?;
    let target = format!("cnbi/{name}");
    let args = ["wait", "--for=condition=Ready", "--timeout=60s", &target];
    let wait = tokio::spawn(site.kubectl(&stage.namespace).args(args).run());
    let uid = stage.read(name).await?["metadata"]["uid"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    stage.build(name, &uid, &IMPORT, "v0.2.2").await?;
    let waited = wait.await??;
    assert!(waited.success, "{}{}", waited.stdout, waited.stderr);
    Ok(manifest)
}

#[tokio::test]
async fn client_side_apply_sees_no_drift() -> Result {
    let site = Site::shared().await?;
    let stage = site.stage("drift-client").await?;
    let manifest = ready(site, &stage, "drift-client", &[]).await?;
    diff(site, &stage, &manifest, &[]).await?;
    let told = apply(site, &stage, &manifest, &[]).await?;
    assert!(told.contains("unchanged"), "{told}");
    let stored = stage.read("drift-client").await?;
    assert_eq!(stored["metadata"]["generation"], 1);
    // Admission has filled in what the manifest leaves out, and nothing of it is a difference.
    assert_eq!(stored["spec"]["targetNamespace"], "opendatahub");
    assert!(stored["metadata"]["annotations"]["opendatahub.io/notebook-image-creator"].is_string());
    Ok(())
}

#[tokio::test]
async fn server_side_apply_sees_no_drift_nor_does_a_second_manager() -> Result {
    let site = Site::shared().await?;
    let stage = site.stage("drift-server").await?;
    let manifest = ready(site, &stage, "drift-server", &["--server-side", "--field-manager=flux"]).await?;
    let (flux, argo) = (
        ["--server-side", "--field-manager=flux"],
        ["--server-side", "--field-manager=argo"],
    );
    diff(site, &stage, &manifest, &flux).await?;
    let version = |resource: &Value| resource["metadata"]["resourceVersion"].clone();
    let before = stage.read("drift-server").await?;
    apply(site, &stage, &manifest, &flux).await?;
    assert_eq!(
        version(&stage.read("drift-server").await?),
        version(&before),
        "nothing was written"
    );
    // The second one shares what both say, and takes nothing away.
    apply(site, &stage, &manifest, &argo).await?;
    diff(site, &stage, &manifest, &argo).await?;
    diff(site, &stage, &manifest, &flux).await?;
    apply(site, &stage, &manifest, &flux).await?;
    let after = stage.read("drift-server").await?;
    assert_eq!(
        (&after["spec"], &after["metadata"]["generation"]),
        (&before["spec"], &json!(1))
    );
    assert_eq!(after["metadata"]["annotations"], before["metadata"]["annotations"]);
    Ok(())
}
