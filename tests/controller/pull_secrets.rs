//! Pull secrets: waiting, copying one entry, deletion.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_shared::contract::IMPORT;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::cluster::{BUILDS, Cluster, Result, import, said, until};

/// Maximum delay between the Secret and the run.
const GOES_ON_WITHIN: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_secret_created_later_is_noticed_and_only_one_entry_is_copied() -> Result {
    let test_ns = Cluster::shared().await?.test_ns("secret-late").await?;
    let mut spec = import();
    spec["imagePullSecret"] = json!({"name": "pull"});
    let uid = test_ns.create("private", spec).await?;
    let waiting = test_ns
        .until("private", "PullSecretReady", "False", "RequiredSecretMissing")
        .await?;
    assert_eq!(said(&waiting, "Reconciling")["status"], "True");
    assert_eq!(waiting["status"]["phase"], "Pending");

    let config = json!({"auths": {"quay.io": {"auth": "cXVheQ=="}, "ghcr.io": {"auth": "Z2hjcg=="}}});
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"}, "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": config.to_string()},
    });
    let secrets = test_ns.secrets(&test_ns.namespace);
    secrets
        .create(&PostParams::default(), &serde_json::from_value(secret)?)
        .await?;
    let begin = Instant::now();
    let run = test_ns.run_of(&uid).await?;
    assert!(begin.elapsed() < GOES_ON_WITHIN, "after {:?}", begin.elapsed());

    let copies = test_ns.secrets(BUILDS);
    let copy = copies.get(&format!("{run}-pull")).await?;
    let labels = copy.metadata.labels.clone().unwrap_or_default();
    assert_eq!(labels.get("meteor.zone/uid"), Some(&uid));
    let content = copy.data["data"][".dockerconfigjson"].as_str().unwrap_or_default();
    let content: Value = serde_json::from_slice(&STANDARD.decode(content)?)?;
    assert_eq!(content, json!({"auths": {"quay.io": {"auth": "cXVheQ=="}}}));

    test_ns.build("private", &uid, &IMPORT, "v0.2.2").await?;
    test_ns.until_ready("private").await?;
    until("the copy goes with the run's end", async || {
        Ok(copies.get_opt(&format!("{run}-pull")).await?.is_none())
    })
    .await
}

#[tokio::test]
async fn deletion_removes_the_secret_copy_of_an_active_run() -> Result {
    let test_ns = Cluster::shared().await?.test_ns("secret-deletion").await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"}, "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json!({"auths": {"quay.io": {"auth": "cXVheQ=="}}}).to_string()},
    });
    let secrets = test_ns.secrets(&test_ns.namespace);
    secrets
        .create(&PostParams::default(), &serde_json::from_value(secret)?)
        .await?;
    let mut spec = import();
    spec["imagePullSecret"] = json!({"name": "pull"});
    let uid = test_ns.create("ended", spec).await?;
    let run = test_ns.run_of(&uid).await?;
    let simulation = test_ns.tekton().start(&run, crate::cluster::held(&IMPORT)?).await?;
    let simulation = tokio::spawn(simulation.finish());
    test_ns.until("ended", "Ready", "Unknown", "Building").await?;
    test_ns.delete("ended").await?;
    test_ns.until_gone("ended").await?;
    simulation.await??;
    assert!(test_ns.secrets(BUILDS).get_opt(&format!("{run}-pull")).await?.is_none());
    assert_eq!(test_ns.runs_of(&uid).await?.len(), 0);
    Ok(())
}
