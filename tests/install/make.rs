//! `make deploy` and `make undeploy` with every overlay and component: output, idempotence, and complete removal.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::shipped;

use super::{OVERLAYS, Outcome, WITHIN, apply_fake, made, make};

/// Objects that kubectl patches every time and never reports as unchanged: selectors of this kind, which its schema replaces
/// as a whole, and long Secret values, which kustomize breaks into lines.
const ALWAYS_PATCHED: [&str; 2] = ["poddisruptionbudget.policy/", "secret/cnbi-signature-keys"];

/// All stored objects, except those that the cluster creates itself.
async fn everything(cluster: &ControlPlane) -> Outcome<BTreeSet<String>> {
    let kinds = cluster
        .kubectl()
        .args(["api-resources", "--verbs=list,delete", "--output=name"])
        .ok()
        .await?;
    let own = ["events", "leases", "componentstatuses", "apiservices", "endpoints"];
    let kinds: Vec<&str> = kinds
        .lines()
        .filter(|kind| !own.iter().any(|own| kind.starts_with(own)))
        .collect();
    let columns = "--output=custom-columns=K:.kind,N:.metadata.namespace,A:.metadata.name";
    let listed = cluster
        .kubectl()
        .args(["get", &kinds.join(","), "--all-namespaces", "--no-headers", columns]);
    Ok(listed.ok().await?.lines().map(str::to_owned).collect())
}

/// `before`: all objects that exist without the installation.
async fn comes_and_goes(cluster: &ControlPlane, overlay: &str, before: &BTreeSet<String>) -> Outcome {
    let variables = [format!("OVERLAY={overlay}"), "WAIT=0s".to_owned()];
    let deploy: Vec<&str> = variables.iter().map(String::as_str).collect();
    let said = made(cluster, "deploy", &deploy).await?;
    for line in [
        "customresourcedefinition.apiextensions.k8s.io/customnbimages.meteor.zone created",
        "deployment.apps/cnbi-webhook created",
        "rolebinding.rbac.authorization.k8s.io/cnbi-controller-builds created",
        "== CNBi is installed in: ",
    ] {
        assert!(said.contains(line), "{overlay}: {line} is not in:\n{said}");
    }
    let again = made(cluster, "deploy", &deploy).await?;
    let mut objects = 0;
    for line in again.lines().filter(|line| !line.starts_with("== ")) {
        objects += 1;
        assert!(
            line.ends_with(" unchanged") || ALWAYS_PATCHED.iter().any(|what| line.starts_with(what)),
            "{overlay}: {line}"
        );
    }
    assert!(objects > 20, "{overlay}: {again}");
    // Applied by kubectl and compared by the server. Skipped with key Secrets: the line breaks of kustomize conflict in their
    // values.
    if OVERLAYS.contains(&overlay) {
        let diff = ["diff", "--server-side", "-k"];
        let diff = cluster.kubectl().args(diff).arg(super::overlay(overlay)).run().await?;
        let shown: String = diff.stdout.chars().take(2000).collect();
        assert!(diff.success, "{overlay}: {shown}{}", diff.stderr);
    }

    let undeploy = [deploy[0], "WAIT=60s"];
    let said = made(cluster, "undeploy", &undeploy).await?;
    let steps: Vec<&str> = said.lines().filter(|line| line.starts_with("== ")).collect();
    assert_eq!(steps.len(), 7, "{overlay}: {said}");
    assert_eq!(everything(cluster).await?, *before, "{overlay}: {said}");
    if overlay == "default" {
        let again = made(cluster, "undeploy", &undeploy).await?;
        assert!(!again.contains(" deleted"), "{again}");
    }
    Ok(())
}

#[tokio::test]
async fn every_overlay_can_be_installed_reinstalled_and_uninstalled() -> Outcome {
    let cluster = ControlPlane::start().await?;
    apply_fake(&cluster, "cert-manager.yaml").await?;
    let before = everything(&cluster).await?;
    for name in OVERLAYS.into_iter().filter(|name| *name != "odh") {
        comes_and_goes(&cluster, name, &before).await?;
    }
    let missing = make(&cluster, "deploy", &["OVERLAY=odh", "WAIT=0s"]).await?;
    let said = String::from_utf8_lossy(&missing.stderr);
    let expected =
        "namespace cnbi-builds does not exist and the overlay does not create it; run: kubectl create namespace";
    assert!(!missing.status.success() && said.contains(expected), "{said}");
    for namespace in ["cnbi-builds", "opendatahub"] {
        cluster.kubectl().args(["create", "namespace", namespace]).ok().await?;
        // Every namespace gets these two shortly after its creation.
        let begin = Instant::now();
        let wanted = [
            "-n",
            namespace,
            "get",
            "serviceaccount/default",
            "configmap/kube-root-ca.crt",
        ];
        while !cluster.kubectl().args(wanted).run().await?.success {
            assert!(begin.elapsed() < WITHIN);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let before = everything(&cluster).await?;
    comes_and_goes(&cluster, "odh", &before).await
}

/// As an admin adds components: a custom overlay on top of a shipped one.
#[tokio::test]
async fn every_component_can_be_installed_reinstalled_and_uninstalled() -> Outcome {
    let cluster = ControlPlane::start().await?;
    apply_fake(&cluster, "prometheus-operator.yaml").await?;
    let folder = tempfile::tempdir_in(cluster.data())?;
    super::manifests::copy(&shipped::deploy(), folder.path())?;
    let all = [
        "monitoring",
        "odh-rbac",
        "imagestream-crd",
        "signature-keys",
        "listed-secrets",
    ];
    // Every component is tested; the remaining ones are parts of overlays.
    let mut there: BTreeSet<String> = BTreeSet::new();
    for entry in fs::read_dir(folder.path().join("components"))? {
        there.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    for part in all
        .iter()
        .chain(&["builds", "cert-manager", "service-ca", "mounted-certificates"])
    {
        assert!(there.remove(*part), "{part}");
    }
    assert!(there.is_empty(), "{there:?}");
    let own = folder.path().join("overlays/own");
    fs::create_dir(&own)?;
    let components: Vec<String> = all.iter().map(|name| format!("../../components/{name}")).collect();
    let text = format!("resources: [../default]\ncomponents: [{}]\n", components.join(", "));
    fs::write(own.join("kustomization.yaml"), text)?;
    let before = everything(&cluster).await?;
    comes_and_goes(&cluster, &own.display().to_string(), &before).await
}

#[tokio::test]
async fn invalid_variables_are_rejected_before_any_change() -> Outcome {
    let cluster = ControlPlane::shared().await?;
    for (variable, why) in [
        ("OVERLAY=nowhere", "has no kustomization.yaml. Available: "),
        ("OVERLAY=./nowhere", "OVERLAY: ./nowhere"),
        ("WAIT=soon", "WAIT=soon is not a duration; write for example 180s"),
    ] {
        for target in ["deploy", "undeploy"] {
            let refused = make(cluster, target, &[variable]).await?;
            let said = String::from_utf8_lossy(&refused.stderr);
            assert!(!refused.status.success() && said.contains(why), "{variable}: {said}");
        }
    }
    let namespace = ["get", "namespace", "cnbi-system", "--ignore-not-found"];
    assert_eq!(cluster.kubectl().args(namespace).ok().await?, "");
    Ok(())
}
