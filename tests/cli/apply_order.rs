//! A resource is applied before the Secret that it needs.

use cnbi_shared::config::SHIPPED;
use serde_json::{Value, json};

use crate::cluster::{Result, TestNamespace};
use crate::running_cluster::{RunningCluster, resource};

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

async fn recovers(test_ns: &TestNamespace, name: &str) -> Result {
    test_ns
        .until(name, "PullSecretReady", "True", "SecretNotInTargetNamespace")
        .await?;
    test_ns.until(name, "PipelineRunCreated", "True", "RunCreated").await?;
    Ok(())
}

/// A single test, because the policy is cluster-wide.
#[tokio::test]
async fn a_resource_before_its_secret_recovers_with_warn_and_on_retry_with_deny() -> Result {
    let running = RunningCluster::shared().await?;
    let namespace = "order-deny";
    let test_ns = running.test_ns(namespace).await?;
    let both = list(&[private(namespace, "order-deny"), secret(namespace)]);
    let kubectl = |more: &[&str]| {
        running
            .kubectl(namespace)
            .args(["apply", "-f", "-"])
            .args(more)
            .stdin(both.clone())
    };

    // Flux first does a dry run of a whole stage, which creates no Secret, so the resource is rejected in any order.
    let reverse = list(&[secret(namespace), private(namespace, "order-deny")]);
    let trial = ["apply", "--server-side", "--dry-run=server", "-f", "-"];
    let tried = running
        .kubectl(namespace)
        .args(trial)
        .stdin(reverse.clone())
        .run()
        .await?;
    assert!(!tried.success && tried.stderr.contains("CNB110"), "{}", tried.stderr);

    // Rejected: the Secret exists afterwards, and applying again succeeds.
    let first = kubectl(&[]).run().await?;
    assert!(!first.success && first.stderr.contains("CNB110"), "{}", first.stderr);
    assert!(first.stdout.contains("secret/pull created"), "{}", first.stdout);
    let again = kubectl(&[]).run().await?;
    assert!(again.success, "{}", again.stderr);
    recovers(&test_ns, "order-deny").await?;
    // With the Secret from an earlier stage, the dry run succeeds.
    let tried = running.kubectl(namespace).args(trial).stdin(reverse).run().await?;
    assert!(tried.success, "{}", tried.stderr);

    // Warned: one apply succeeds, and the build starts when the Secret exists.
    running
        .cluster
        // Other tests share the configuration, so it keeps the catalog.
        .configure(&format!("{SHIPPED}rules: {{CNB110: Warn}}\n"))
        .await?;
    let namespace = "order-warn";
    let test_ns = running.test_ns(namespace).await?;
    let wanted = private(namespace, "order-warn");
    running
        .until_answered(namespace, &wanted, |told| {
            told.contains("Warning") && told.contains("CNB110")
        })
        .await?;
    let both = list(&[wanted, secret(namespace)]);
    let once = running
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
    recovers(&test_ns, "order-warn").await
}
