//! A Secret and the resource that needs it, applied in one go and in the wrong order.

use serde_json::{Value, json};

use crate::cluster::{Result, Stage};
use crate::running_cluster::{Site, resource};

fn secret(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull", "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": r#"{"auths":{"quay.io":{"auth":"dTpw"}}}"#},
    })
}

fn private(namespace: &str, name: &str) -> Value {
    resource(
        namespace,
        name,
        &json!({"buildType": "ImageImport", "fromImage": "quay.io/a/b:v1", "imagePullSecret": {"name": "pull"}}),
    )
}

fn list(items: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

async fn recovers(stage: &Stage, name: &str) -> Result {
    stage
        .until(name, "PullSecretReady", "True", "SecretNotInTargetNamespace")
        .await?;
    stage.until(name, "PipelineRunCreated", "True", "RunCreated").await?;
    Ok(())
}

/// One test, because the policy is one for all.
#[tokio::test]
async fn the_wrong_order_recovers_under_warn_and_by_a_retry_under_deny() -> Result {
    let site = Site::shared().await?;
    let namespace = "order-deny";
    let stage = site.stage(namespace).await?;
    let both = list(&[private(namespace, "order-deny"), secret(namespace)]);
    let kubectl = |more: &[&str]| {
        site.kubectl(namespace)
            .args(["apply", "-f", "-"])
            .args(more)
            .stdin(both.clone())
    };

    // Flux tries a whole stage beforehand, and in a trial no Secret comes to be: whatever the order, it refuses.
    let reverse = list(&[secret(namespace), private(namespace, "order-deny")]);
    let trial = ["apply", "--server-side", "--dry-run=server", "-f", "-"];
    let tried = site.kubectl(namespace).args(trial).stdin(reverse.clone()).run().await?;
    assert!(!tried.success && tried.stderr.contains("CNB110"), "{}", tried.stderr);

    // Denied: the Secret is there afterwards, and the same once more succeeds.
    let first = kubectl(&[]).run().await?;
    assert!(!first.success && first.stderr.contains("CNB110"), "{}", first.stderr);
    assert!(first.stdout.contains("secret/pull created"), "{}", first.stdout);
    let again = kubectl(&[]).run().await?;
    assert!(again.success, "{}", again.stderr);
    recovers(&stage, "order-deny").await?;
    // With the Secret from an earlier stage, the trial passes.
    let tried = site.kubectl(namespace).args(trial).stdin(reverse).run().await?;
    assert!(tried.success, "{}", tried.stderr);

    // Warned: it goes through in one go, and goes on when the Secret is there.
    site.cluster
        .configure("targetNamespace: {default: opendatahub}\nrules: {CNB110: Warn}")
        .await?;
    let namespace = "order-warn";
    let stage = site.stage(namespace).await?;
    let wanted = private(namespace, "order-warn");
    site.until_answered(namespace, &wanted, |told| {
        told.contains("Warning") && told.contains("CNB110")
    })
    .await?;
    let both = list(&[wanted, secret(namespace)]);
    let once = site
        .kubectl(namespace)
        .args(["apply", "-f", "-"])
        .stdin(both)
        .run()
        .await?;
    assert!(
        once.success && once.stderr.contains("CNB110"),
        "{}{}",
        once.stdout,
        once.stderr
    );
    recovers(&stage, "order-warn").await
}
