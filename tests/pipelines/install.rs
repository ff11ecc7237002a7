//! `make install-pipelines` and `make uninstall-pipelines` on a real API server.

use std::path::Path;
use std::process::Output;

use cnbi_tests::control_plane::ControlPlane;

use super::{Outcome, cluster, folder};

/// Runs a target of the Makefile, as a cluster admin.
pub(super) async fn make(cluster: &ControlPlane, target: &str, namespace: &str, targets: &str) -> Outcome<Output> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut make = tokio::process::Command::new("make");
    make.arg("--directory")
        .arg(root)
        .args(["--no-print-directory", target])
        .arg(format!("NAMESPACE={namespace}"))
        .arg(format!("TARGETS={targets}"))
        .arg(format!("KUBECTL={}", cluster.assets().kubectl().display()))
        .env("KUBECONFIG", cluster.kubeconfig());
    Ok(make.output().await?)
}

async fn may(cluster: &ControlPlane, account: &str, verb: &str, what: &str, namespace: &str) -> Outcome<bool> {
    let (what, subresource) = what.split_once('/').unwrap_or((what, ""));
    let answer = cluster
        .kubectl()
        .args(["auth", "can-i", verb, what, "--quiet", "--namespace", namespace])
        .arg(format!("--as=system:serviceaccount:{account}"))
        .arg(format!("--subresource={subresource}"));
    Ok(answer.run().await?.success)
}

#[tokio::test]
async fn installing_grants_exactly_the_needed_permissions() -> Outcome {
    let cluster = cluster().await?;
    for namespace in ["shown", "shown-too", "elsewhere"] {
        cluster.kubectl().args(["create", "namespace", namespace]).ok().await?;
    }
    let installed = make(cluster, "install-pipelines", "runs-here", "shown shown-too").await?;
    let said = String::from_utf8_lossy(&installed.stdout);
    assert!(
        installed.status.success(),
        "{}",
        String::from_utf8_lossy(&installed.stderr)
    );
    for line in [
        "pipeline.tekton.dev/cnbi-import",
        "Installed Pipelines, Tasks and service accounts in runs-here. They can publish to: shown shown-too",
        "Set pipelines.runNamespace in the configuration to runs-here",
    ] {
        assert!(said.contains(line), "{line} is not in:\n{said}");
    }
    let streams = "imagestreams.image.openshift.io";
    let (trusted, untrusted) = ("runs-here:cnbi-trusted", "runs-here:cnbi-untrusted");
    for target in ["shown", "shown-too"] {
        for (verb, what) in [
            ("get", streams.to_owned()),
            ("create", streams.to_owned()),
            ("patch", streams.to_owned()),
            ("update", format!("{streams}/layers")),
            ("patch", format!("{streams}/status")),
        ] {
            assert!(
                may(cluster, trusted, verb, &what, target).await?,
                "{verb} {what} in {target}"
            );
            assert!(
                !may(cluster, untrusted, verb, &what, target).await?,
                "{verb} {what} in {target}"
            );
            assert!(
                !may(cluster, trusted, verb, &what, "elsewhere").await?,
                "{verb} {what} elsewhere"
            );
        }
        assert!(may(cluster, untrusted, "get", &format!("{streams}/layers"), target).await?);
        for (verb, what) in [
            ("delete", streams),
            ("list", streams),
            ("get", "secrets"),
            ("list", "pods"),
        ] {
            assert!(
                !may(cluster, trusted, verb, what, target).await?,
                "{verb} {what} in {target}"
            );
        }
    }
    for (account, reads) in [(trusted, true), (untrusted, false)] {
        assert_eq!(
            may(cluster, account, "get", "taskruns.tekton.dev", "runs-here").await?,
            reads
        );
        for (verb, what) in [
            ("list", "pipelineruns.tekton.dev"),
            ("patch", "pipelineruns.tekton.dev"),
            ("get", "secrets"),
        ] {
            assert!(
                !may(cluster, account, verb, what, "runs-here").await?,
                "{account}: {verb} {what}"
            );
        }
    }

    let gone = make(cluster, "uninstall-pipelines", "runs-here", "shown shown-too").await?;
    assert!(gone.status.success(), "{}", String::from_utf8_lossy(&gone.stderr));
    for namespace in ["runs-here", "shown", "shown-too"] {
        let left = cluster
            .kubectl()
            .args([
                "get",
                "pipelines,tasks,roles,rolebindings,networkpolicies",
                "--output=name",
            ])
            .args(["--selector=app.kubernetes.io/part-of=cnbi", "--namespace", namespace]);
        assert_eq!(left.ok().await?, "", "in {namespace}");
    }
    cluster.kubectl().args(["get", "namespace", "runs-here"]).ok().await?;
    let again = make(cluster, "uninstall-pipelines", "runs-here", "shown shown-too").await?;
    assert!(
        again.status.success(),
        "taking away what is gone: {}",
        String::from_utf8_lossy(&again.stderr)
    );
    Ok(())
}

#[tokio::test]
async fn invalid_arguments_are_rejected_before_any_change() -> Outcome {
    let cluster = cluster().await?;
    for (namespace, target, why) in [
        ("Not_a_name", "default", "not a valid namespace name: Not_a_name"),
        (
            "runs-nowhere",
            "nowhere",
            "the namespace nowhere for ImageStreams does not exist",
        ),
        ("runs-nowhere", "default;id", "not a valid namespace name"),
    ] {
        let refused = make(cluster, "install-pipelines", namespace, target).await?;
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(
            !refused.status.success() && said.contains(why),
            "{why} is not in:\n{said}"
        );
    }
    let made = cluster
        .kubectl()
        .args(["get", "namespace", "runs-nowhere", "--ignore-not-found"]);
    assert_eq!(made.ok().await?, "");
    Ok(())
}

/// With Tekton's own definitions, if given, this is the original schema.
#[tokio::test]
async fn every_manifest_is_accepted_unchanged_and_apply_is_idempotent() -> Outcome {
    let cluster = cluster().await?;
    let namespace = cluster.kubectl().args(["create", "namespace", "cnbi-builds"]);
    namespace.ok().await?;
    let apply = || {
        let apply = [
            "apply",
            "--server-side",
            "--validate=strict",
            "--output=name",
            "--kustomize",
        ];
        cluster.kubectl().args(apply).arg(folder())
    };
    let first = apply().ok().await?;
    let versions = async || {
        let get = [
            "get",
            "--output=jsonpath={range .items[*]}{.kind} {.metadata.resourceVersion}{\"\\n\"}{end}",
            "--kustomize",
        ];
        cluster.kubectl().args(get).arg(folder()).ok().await
    };
    let before = versions().await?;
    assert_eq!(apply().ok().await?, first);
    assert_eq!(versions().await?, before);
    assert_eq!(first.lines().count(), before.lines().count(), "{first}");
    Ok(())
}
