//! The manifests on a real API server: apply, apply again, diff, and run the programs.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::{Installation, shipped};
use serde_json::{Value, json};

use super::{Outcome, WITHIN, list, one, overlay, rendered};

/// Client-side apply, on a separate control plane because the objects are cluster-wide.
#[tokio::test]
async fn applying_again_changes_nothing() -> Outcome {
    let cluster = ControlPlane::start().await?;
    let overlay = overlay("default");
    let apply = || {
        cluster
            .kubectl()
            .args([Path::new("apply"), Path::new("-k"), &overlay])
            .ok()
    };
    apply().await?;
    let versions = || async {
        let text = cluster
            .kubectl()
            .args([Path::new("get"), Path::new("-o=json"), Path::new("-k"), &overlay])
            .ok()
            .await?;
        let objects: Value = serde_json::from_str(&text)?;
        let version = |object: &Value| format!("{} {}", object["kind"], object["metadata"]["resourceVersion"]);
        // Its status changes until it is established.
        let settled = list(&objects["items"])
            .iter()
            .filter(|object| object["kind"] != "CustomResourceDefinition");
        Ok::<Vec<String>, Box<dyn std::error::Error>>(settled.map(version).collect())
    };
    let before = versions().await?;
    assert!(before.len() > 10, "{before:?}");
    let said = apply().await?;
    // kubectl always patches the selector of this kind; the resource versions show no change.
    for line in said
        .lines()
        .filter(|line| !line.starts_with("poddisruptionbudget.policy/"))
    {
        assert!(line.ends_with(" unchanged"), "{line}");
    }
    assert_eq!(versions().await?, before);

    // A field with a server-side default would show up as a difference.
    let objects = rendered(&cluster, &overlay).await?;
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        let live = cluster
            .kubectl()
            .args(["get", kind, "cnbi-webhook", "-o=json"])
            .ok()
            .await?;
        let live: Value = serde_json::from_str(&live)?;
        assert_eq!(live["webhooks"], one(&objects, kind, "cnbi-webhook")["webhooks"]);
    }
    Ok(())
}

/// Applies and compares like GitOps tools.
#[tokio::test]
async fn server_side_apply_shows_no_drift() -> Outcome {
    let cluster = ControlPlane::start().await?;
    let overlay = overlay("default");
    let kubectl = |command: &str| {
        cluster.kubectl().args([
            Path::new(command),
            Path::new("--server-side"),
            Path::new("-k"),
            &overlay,
        ])
    };
    kubectl("apply").ok().await?;
    let difference = kubectl("diff").run().await?;
    assert!(difference.success, "{}{}", difference.stdout, difference.stderr);
    Ok(())
}

/// Both deployed programs with only the RBAC of the manifests.
#[tokio::test]
async fn installed_programs_work_with_their_permissions() -> Outcome {
    let cluster = ControlPlane::start().await?;
    let installation = Installation::install(&cluster, shipped::default(Some("works"))).await?;
    let _replicas = installation.start_all(WITHIN).await?;
    installation.create_namespace("team-a").await?;
    let create = |name: &str, spec: Value| {
        let resource = json!({
            "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
            "metadata": {"name": name, "namespace": "team-a"}, "spec": spec,
        });
        cluster
            .kubectl()
            .args(["create", "-f", "-"])
            .stdin(resource.to_string())
            .run()
    };
    // The API server observes the bundle with a delay; until then it rejects requests.
    let begin = Instant::now();
    let image = "quay.io/thoth-station/s2i-minimal-py38-notebook:v0.2.2";
    loop {
        let answer = create("good", json!({"buildType": "ImageImport", "fromImage": image})).await?;
        if answer.success {
            break;
        }
        assert!(answer.stderr.contains("failed calling webhook"), "{}", answer.stderr);
        assert!(begin.elapsed() < WITHIN, "{}", answer.stderr);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let secret = json!({"buildType": "ImageImport", "fromImage": image, "imagePullSecret": {"name": "missing"}});
    let refused = create("bad", secret).await?;
    assert!(
        !refused.success && refused.stderr.contains("[CNB110]"),
        "{}",
        refused.stderr
    );

    // The configurations now contain the bundle, under another field manager than the manifests.
    let said = installation.apply_again().await?;
    for line in said.lines() {
        let is_patched_always = line.starts_with("poddisruptionbudget.policy/");
        assert!(line.ends_with(" unchanged") || is_patched_always, "{line}");
    }
    // Both client-side and server-side comparison find no difference.
    let server = "--server-side";
    for args in [&["diff"][..], &["diff", server], &["apply", server], &["diff", server]] {
        for answer in installation.again(args).await? {
            let shown: String = answer.stdout.chars().take(2000).collect();
            assert!(answer.success, "{args:?}: {shown}{}", answer.stderr);
        }
    }
    let name = installation.name_of("cnbi-webhook");
    for kind in ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"] {
        let bundles = [
            "get",
            kind,
            &name,
            "-o",
            "jsonpath={.webhooks[*].clientConfig.caBundle}",
        ];
        assert!(!cluster.kubectl().args(bundles).ok().await?.is_empty(), "{kind}");
    }

    let wait = [
        "-n",
        "team-a",
        "wait",
        "customnbimage/good",
        "--for=condition=WellFormed",
        "--timeout=60s",
    ];
    cluster.kubectl().args(wait).ok().await?;
    let read = [
        "-n",
        "team-a",
        "get",
        "customnbimage/good",
        "-o=jsonpath={.spec.targetNamespace}",
    ];
    assert_eq!(cluster.kubectl().args(read).ok().await?, "opendatahub");

    let own = format!("system:serviceaccounts:{}", installation.namespace());
    for line in fs::read_to_string(cluster.audit_log())?.lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let is_ours = list(&event["user"]["groups"]).iter().any(|group| *group == *own);
        assert!(!is_ours || event["responseStatus"]["code"] != 403, "{event}");
    }
    Ok(())
}
