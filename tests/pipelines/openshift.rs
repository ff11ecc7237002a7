//! Installation with SecurityContextConstraints. The kind is a fake; its permissions are compared with the Task's needs.

use std::collections::BTreeSet;

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::fake_tekton::{Definitions, install_from};
use serde_json::{Value, json};

use super::install::make;
use super::{Manifests, Outcome, list, steps, text};

const KIND: &str = "securitycontextconstraints.security.openshift.io";

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": KIND},
        "spec": {
            "group": "security.openshift.io",
            "scope": "Cluster",
            "names": {
                "kind": "SecurityContextConstraints", "plural": "securitycontextconstraints",
                "singular": "securitycontextconstraints",
            },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

fn texts(value: &Value) -> BTreeSet<&str> {
    list(value).iter().map(text).collect()
}

#[tokio::test]
async fn on_openshift_only_the_build_account_may_use_its_security_context_constraints() -> Outcome {
    let cluster = ControlPlane::start().await?;
    install_from(&cluster, &Definitions::from_env()).await?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), definition().to_string())?;
    let apply = cluster.kubectl().args(["apply", "--filename"]).arg(file.path());
    apply.ok().await?;
    let established = [
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "customresourcedefinition",
        KIND,
    ];
    cluster.kubectl().args(established).ok().await?;
    cluster.kubectl().args(["create", "namespace", "shown"]).ok().await?;
    // Runs twice: the second run changes nothing.
    for _ in 0..2 {
        let installed = make(&cluster, "install-pipelines", "runs-here", "shown").await?;
        let said = String::from_utf8_lossy(&installed.stderr);
        assert!(installed.status.success(), "{said}");
    }
    let get = cluster.kubectl().args(["get", KIND, "cnbi-build", "--output=json"]);
    let allowed: Value = serde_json::from_str(&get.ok().await?)?;

    let may_use = async |account: &str| -> Outcome<bool> {
        let asked = cluster
            .kubectl()
            .args(["auth", "can-i", "use", &format!("{KIND}/cnbi-build"), "--quiet"])
            .args([
                "--namespace",
                "runs-here",
                "--as",
                &format!("system:serviceaccount:{account}"),
            ]);
        Ok(asked.run().await?.success)
    };
    assert!(may_use("runs-here:cnbi-untrusted").await?);
    assert!(!may_use("runs-here:cnbi-trusted").await?);
    assert!(!may_use("shown:cnbi-untrusted").await?);

    let manifests = Manifests::rendered().await?;
    let task = manifests.one("Task", "cnbi-build");
    for step in steps(task) {
        let context = &step["securityContext"];
        assert_eq!(context["runAsUser"], 0);
        assert_eq!(allowed["runAsUser"]["type"], "RunAsAny");
        let capabilities = &context["capabilities"];
        assert_eq!(texts(&capabilities["add"]), texts(&allowed["allowedCapabilities"]));
        assert_eq!(
            texts(&capabilities["drop"]),
            texts(&allowed["requiredDropCapabilities"])
        );
        let profile = text(&context["seccompProfile"]["type"]).to_lowercase();
        assert!(
            texts(&allowed["seccompProfiles"]).contains(profile.as_str()),
            "{profile}"
        );
        assert_eq!(context["allowPrivilegeEscalation"], allowed["allowPrivilegeEscalation"]);
    }
    assert!(!texts(&allowed["volumes"]).contains("secret"), "{allowed}");
    for key in [
        "allowPrivilegedContainer",
        "allowHostDirVolumePlugin",
        "allowHostNetwork",
        "allowHostPID",
        "allowHostIPC",
    ] {
        assert_eq!(allowed[key], false, "{key}");
    }

    let gone = make(&cluster, "uninstall-pipelines", "runs-here", "shown").await?;
    assert!(gone.status.success(), "{}", String::from_utf8_lossy(&gone.stderr));
    let left = cluster.kubectl().args(["get", KIND, "--output=name"]);
    assert_eq!(left.ok().await?, "");
    Ok(())
}
