//! CNBi's pods meet the Pod Security Standard of their namespace, in every overlay.

use cnbi_tests::control_plane::ControlPlane;
use serde_json::{Value, json};

use super::{OVERLAYS, Outcome, one, overlay, rendered};

/// The pod that a Deployment's ReplicaSet would create.
fn pod_of(deployment: &Value, namespace: &str) -> Value {
    let template = &deployment["spec"]["template"];
    let mut metadata = template["metadata"].clone();
    metadata["name"] = "one-of-them".into();
    metadata["namespace"] = namespace.into();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
}

#[tokio::test]
async fn every_pod_meets_the_restricted_pod_security_standard() -> Outcome {
    let cluster = ControlPlane::start().await?;
    let namespace = "enforced";
    let labels = one(
        &rendered(&cluster, &overlay("default")).await?,
        "Namespace",
        super::NAMESPACE,
    )["metadata"]["labels"]
        .clone();
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
    let wanted = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}});
    let apply = |object: &Value| cluster.kubectl().args(["apply", "-f", "-"]).stdin(object.to_string());
    apply(&wanted).ok().await?;
    for account in ["cnbi-webhook", "cnbi-controller"] {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": namespace}});
        apply(&account).ok().await?;
    }
    let create = |pod: &Value| {
        let create = ["create", "--dry-run=server", "--validate=strict", "-f", "-"];
        cluster.kubectl().args(create).stdin(pod.to_string()).run()
    };
    for name in OVERLAYS {
        let objects = rendered(&cluster, &overlay(name)).await?;
        for program in ["cnbi-webhook", "cnbi-controller"] {
            let pod = pod_of(one(&objects, "Deployment", program), namespace);
            let answer = create(&pod).await?;
            assert!(
                answer.success && answer.stderr.is_empty(),
                "{name} {program}: {}",
                answer.stderr
            );
            // The standard is enforced: without one of the settings, the pod is rejected.
            let mut loose = pod.clone();
            loose["spec"]["containers"][0]["securityContext"]["capabilities"] = json!({});
            let answer = create(&loose).await?;
            let why = "violates PodSecurity \"restricted:latest\": unrestricted capabilities";
            assert!(!answer.success && answer.stderr.contains(why), "{}", answer.stderr);

            let container = &pod["spec"]["containers"][0];
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
            assert_eq!(pod["spec"]["enableServiceLinks"], false);
            for bound in ["requests", "limits"] {
                for resource in ["cpu", "memory"] {
                    assert!(
                        container["resources"][bound][resource].is_string(),
                        "{bound} {resource}"
                    );
                }
            }
        }
    }
    Ok(())
}
