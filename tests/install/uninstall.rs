//! Uninstalling in the right order, and reinstalling after the namespace was deleted.

use std::fs;
use std::time::Instant;

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::{Installation, shipped};
use serde_json::{Value, json};

use super::{NAMESPACE, Outcome, WITHIN, made, make};

const IMAGE: &str = "quay.io/thoth-station/s2i-minimal-py38-notebook:v0.2.2";

async fn create(cluster: &ControlPlane, namespace: &str, name: &str) -> Outcome {
    let resource = json!({
        "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"buildType": "ImageImport", "fromImage": IMAGE},
    });
    // The API server observes the bundle with a delay; until then it rejects requests.
    let begin = Instant::now();
    loop {
        let create = cluster.kubectl().args(["create", "-f", "-"]);
        let answer = create.stdin(resource.to_string()).run().await?;
        if answer.success {
            return Ok(());
        }
        let is_early = answer.stderr.contains("failed calling webhook");
        if !is_early || begin.elapsed() > WITHIN {
            return Err(answer.stderr.into());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn until_finalized(cluster: &ControlPlane, namespace: &str, name: &str) -> Outcome {
    let resource = format!("customnbimage/{name}");
    let wait = [
        "-n",
        namespace,
        "wait",
        &resource,
        "--for=jsonpath={.metadata.finalizers[0]}",
        "--timeout=60s",
    ];
    cluster.kubectl().args(wait).ok().await?;
    Ok(())
}

/// All objects that the admin deleted by name, in order, as `resource name`.
fn deleted(cluster: &ControlPlane) -> Outcome<Vec<String>> {
    let log = fs::read_to_string(cluster.audit_log())?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["verb"] == "delete" && event["stage"] == "ResponseComplete")
        .filter(|event| {
            event["user"]["username"]
                .as_str()
                .is_some_and(|user| !user.starts_with("system:"))
        })
        .filter(|event| event["responseStatus"]["code"] == 200)
        .map(|event| {
            let of = &event["objectRef"];
            format!("{} {}", text(&of["resource"]), text(&of["name"]))
        })
        .collect())
}

#[tokio::test]
async fn dependents_are_uninstalled_first() -> Outcome {
    let cluster = ControlPlane::start().await?;
    cnbi_tests::fake_tekton::install(&cluster).await?;
    let before = cluster.kubectl().args(["get", "namespaces", "-o=name"]).ok().await?;
    let installation = Installation::install(&cluster, shipped::default(None)).await?;
    installation.create_namespace("opendatahub").await?;
    installation.create_namespace("team-a").await?;
    let replicas = installation.start_all(WITHIN).await?;
    create(&cluster, "team-a", "one").await?;
    until_finalized(&cluster, "team-a", "one").await?;

    // While the controller is down, nothing is removed.
    let mut webhook = Vec::new();
    for replica in replicas {
        if replica.pod().contains("controller") {
            replica.into_process().terminate(WITHIN).await?;
        } else {
            webhook.push(replica);
        }
    }
    let stuck = make(&cluster, "undeploy", &["WAIT=2s"]).await?;
    let said = String::from_utf8_lossy(&stuck.stderr);
    assert!(!stuck.status.success(), "{said}");
    for part in ["cnbi-controller must run", "team-a", "one"] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    let done: Vec<String> = deleted(&cluster)?;
    assert_eq!(done, ["customnbimages one"]);

    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    made(&cluster, "undeploy", &["WAIT=60s"]).await?;
    let done = deleted(&cluster)?;
    let at = |what: &str| {
        let found = done.iter().position(|line| line == what);
        found.unwrap_or_else(|| panic!("{what} was not deleted: {done:#?}"))
    };
    let order = [
        "customnbimages one",
        "deployments cnbi-controller",
        "mutatingwebhookconfigurations cnbi-webhook",
        "deployments cnbi-webhook",
        "clusterroles cnbi-webhook",
        "namespaces cnbi-system",
        "customresourcedefinitions customnbimages.meteor.zone",
    ];
    for pair in order.windows(2) {
        assert!(at(pair[0]) < at(pair[1]), "{pair:?} in {done:#?}");
    }
    for made_by_itself in ["secrets cnbi-webhook-ca", "leases cnbi-controller"] {
        assert!(at(made_by_itself) < at("namespaces cnbi-system"));
    }
    drop(webhook);
    cluster
        .kubectl()
        .args(["delete", "namespace", "opendatahub", "team-a"])
        .ok()
        .await?;
    let after = cluster.kubectl().args(["get", "namespaces", "-o=name"]).ok().await?;
    assert_eq!(after, before);
    Ok(())
}

#[tokio::test]
async fn reinstalling_after_deleting_the_namespace_works() -> Outcome {
    let cluster = ControlPlane::start().await?;
    cnbi_tests::fake_tekton::install(&cluster).await?;
    let installation = Installation::install(&cluster, shipped::default(None)).await?;
    installation.create_namespace("team-a").await?;
    let replicas = installation.start_all(WITHIN).await?;
    create(&cluster, "team-a", "before").await?;
    until_finalized(&cluster, "team-a", "before").await?;
    let bundle = async || -> Outcome<String> {
        let path = "jsonpath={.webhooks[*].clientConfig.caBundle}";
        let get = ["get", "validatingwebhookconfiguration", "cnbi-webhook", "-o", path];
        Ok(cluster.kubectl().args(get).ok().await?)
    };
    let old = bundle().await?;

    // As on a cluster: Pods are deleted with the namespace; the cluster-scoped webhook configurations remain.
    let delete = ["delete", "namespace", NAMESPACE, "--timeout=60s"];
    cluster.kubectl().args(delete).ok().await?;
    for replica in replicas {
        // The leader exits soon after its Lease is deleted, perhaps already; dropping a process also kills it.
        if !replica.pod().contains("controller") {
            replica.into_process().kill().await?;
        }
    }
    let resource = ["-n", "team-a", "create", "-f", "-"];
    let refused = cluster.kubectl().args(resource).stdin(
        json!({"apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage", "metadata": {"name": "between"},
            "spec": {"buildType": "ImageImport", "fromImage": IMAGE}})
        .to_string(),
    );
    let refused = refused.run().await?;
    assert!(
        !refused.success && refused.stderr.contains("failed calling webhook"),
        "{}",
        refused.stderr
    );

    let said = installation.apply_again().await?;
    assert!(said.contains("deployment.apps/cnbi-webhook created"), "{said}");
    let _replicas = installation.start_all(WITHIN).await?;
    create(&cluster, "team-a", "after").await?;
    until_finalized(&cluster, "team-a", "after").await?;
    assert_ne!(bundle().await?, old, "the authority went with its Secret");

    // An unreadable CA is replaced and an Event is created.
    let spoil = r#"{"data": {"tls.key": "c3BvaWx0"}}"#;
    let patch = [
        "-n",
        NAMESPACE,
        "patch",
        "secret",
        "cnbi-webhook-ca",
        "--type=merge",
        "-p",
        spoil,
    ];
    cluster.kubectl().args(patch).ok().await?;
    let spoilt = bundle().await?;
    let begin = Instant::now();
    let events = [
        "-n",
        NAMESPACE,
        "get",
        "events.events.k8s.io",
        "-o",
        "jsonpath={.items[*].regarding.name}",
    ];
    while bundle().await? == spoilt || !cluster.kubectl().args(events).ok().await?.contains("cnbi-webhook-ca") {
        assert!(begin.elapsed() < 4 * WITHIN);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    create(&cluster, "team-a", "later").await?;

    // Existing resources are reconciled again until they are deleted.
    let gone = [
        "-n",
        "team-a",
        "delete",
        "customnbimage",
        "before",
        "after",
        "--timeout=60s",
    ];
    cluster.kubectl().args(gone).ok().await?;
    Ok(())
}
