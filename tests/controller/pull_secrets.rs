//! Pull Secrets: waited for, copied by the one entry, and taken away again.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_shared::contract::IMPORT;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::cluster::{BUILDS, Cluster, Result, import, said, until};

/// How soon after the Secret the run has to be there.
const GOES_ON_WITHIN: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_secret_that_arrives_late_is_noticed_and_only_its_one_entry_copied() -> Result {
    let stage = Cluster::shared().await?.stage("secret-late").await?;
    let mut spec = import();
    spec["imagePullSecret"] = json!({"name": "pull"});
    let uid = stage.create("private", spec).await?;
    let waiting = stage
        .until("private", "PullSecretReady", "False", "RequiredSecretMissing")
        .await?;
    assert_eq!(said(&waiting, "Reconciling")["status"], "True");
    assert_eq!(waiting["status"]["phase"], "Pending");

    let config = json!({"auths": {"quay.io": {"auth": "cXVheQ=="}, "ghcr.io": {"auth": "Z2hjcg=="}}});
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"}, "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": config.to_string()},
    });
    let secrets = stage.secrets(&stage.namespace);
    secrets
        .create(&PostParams::default(), &serde_json::from_value(secret)?)
        .await?;
    let begin = Instant::now();
    let run = stage.run_of(&uid).await?;
    assert!(begin.elapsed() < GOES_ON_WITHIN, "after {:?}", begin.elapsed());

    let copies = stage.secrets(BUILDS);
    let copy = copies.get(&format!("{run}-pull")).await?;
    let labels = copy.metadata.labels.clone().unwrap_or_default();
    assert_eq!(labels.get("meteor.zone/uid"), Some(&uid));
    let content = copy.data["data"][".dockerconfigjson"].as_str().unwrap_or_default();
    let content: Value = serde_json::from_slice(&STANDARD.decode(content)?)?;
    assert_eq!(content, json!({"auths": {"quay.io": {"auth": "cXVheQ=="}}}));

    stage.build("private", &uid, &IMPORT, "v0.2.2").await?;
    stage.until_ready("private").await?;
    until("the copy goes with the run's end", async || {
        Ok(copies.get_opt(&format!("{run}-pull")).await?.is_none())
    })
    .await
}

#[tokio::test]
async fn deletion_takes_the_copy_of_a_run_under_way_along() -> Result {
    let stage = Cluster::shared().await?.stage("secret-deletion").await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"}, "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json!({"auths": {"quay.io": {"auth": "cXVheQ=="}}}).to_string()},
    });
    let secrets = stage.secrets(&stage.namespace);
    secrets
        .create(&PostParams::default(), &serde_json::from_value(secret)?)
        .await?;
    let mut spec = import();
    spec["imagePullSecret"] = json!({"name": "pull"});
    let uid = stage.create("ended", spec).await?;
    let run = stage.run_of(&uid).await?;
    let simulation = stage.tekton().start(&run, crate::cluster::held(&IMPORT)?).await?;
    let simulation = tokio::spawn(simulation.finish());
    stage.until("ended", "Ready", "Unknown", "Building").await?;
    stage.delete("ended").await?;
    stage.until_gone("ended").await?;
    simulation.await??;
    assert!(stage.secrets(BUILDS).get_opt(&format!("{run}-pull")).await?.is_none());
    assert_eq!(stage.runs_of(&uid).await?.len(), 0);
    Ok(())
}
