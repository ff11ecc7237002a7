//! Permissions that the programs do not have.

use std::fs;
use std::path::Path;

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::shipped;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::{NAMESPACE, Outcome};

/// Whether a service account has a permission; `what` is `resource.group/subresource name`, where only the resource is required.
async fn may(
    reviews: &Api<SubjectAccessReview>,
    account: &str,
    verb: &str,
    what: &str,
    namespace: &str,
) -> Outcome<bool> {
    let (what, name) = what.split_once(' ').unwrap_or((what, ""));
    let (what, subresource) = what.split_once('/').unwrap_or((what, ""));
    let (resource, group) = what.split_once('.').unwrap_or((what, ""));
    let review = serde_json::from_value(json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {
            "user": format!("system:serviceaccount:{account}"),
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {"verb": verb, "group": group, "resource": resource, "subresource": subresource,
                "namespace": namespace, "name": name},
        },
    }))?;
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// Permissions that no program needs: `verb what`.
const NOWHERE: [&str; 24] = [
    "list secrets",
    "watch secrets",
    "deletecollection secrets",
    "list pods",
    "get pods/log",
    "create pods",
    "create pods/exec",
    "create pods/ephemeralcontainers",
    "create serviceaccounts/token",
    "impersonate users",
    "impersonate serviceaccounts",
    "create clusterroles.rbac.authorization.k8s.io",
    "bind clusterroles.rbac.authorization.k8s.io",
    "escalate clusterroles.rbac.authorization.k8s.io",
    "create clusterrolebindings.rbac.authorization.k8s.io",
    "create rolebindings.rbac.authorization.k8s.io",
    "create deployments.apps",
    "patch deployments.apps",
    "patch namespaces",
    "delete namespaces",
    "create customnbimages.meteor.zone",
    "update customnbimages.meteor.zone",
    "delete customnbimages.meteor.zone",
    "patch customresourcedefinitions.apiextensions.k8s.io",
];

#[tokio::test]
async fn programs_have_no_other_permissions() -> Outcome {
    let cluster = ControlPlane::start().await?;
    let installed = cluster.kubectl().args(["apply", "-k"]).arg(super::overlay("default"));
    installed.ok().await?;
    let reviews: Api<SubjectAccessReview> = Api::all(cluster.client().await?);
    let (webhook, controller) = ("cnbi-system:cnbi-webhook", "cnbi-system:cnbi-controller");
    for account in [webhook, controller] {
        for namespace in [NAMESPACE, "cnbi-builds", "opendatahub", "team-a", ""] {
            for right in NOWHERE {
                let (verb, what) = right.split_once(' ').unwrap_or_default();
                let allowed = may(&reviews, account, verb, what, namespace).await?;
                assert!(!allowed, "{account} may {right} in {namespace:?}");
            }
        }
    }
    let theirs = [
        // Checks granted permissions first; otherwise the denials below would prove nothing.
        (webhook, "get", "secrets any", "team-a", true),
        (webhook, "update", "secrets cnbi-webhook-ca", NAMESPACE, true),
        (webhook, "update", "secrets other", NAMESPACE, false),
        (webhook, "delete", "secrets cnbi-webhook-ca", NAMESPACE, false),
        (webhook, "create", "secrets", "team-a", false),
        (webhook, "get", "configmaps cnbi-config", "team-a", false),
        (webhook, "update", "configmaps cnbi-config", NAMESPACE, false),
        (webhook, "get", "customnbimages.meteor.zone", "team-a", false),
        (
            webhook,
            "patch",
            "imagestreams.image.openshift.io",
            "opendatahub",
            false,
        ),
        (
            webhook,
            "patch",
            "validatingwebhookconfigurations.admissionregistration.k8s.io cnbi-webhook",
            "",
            true,
        ),
        (
            webhook,
            "patch",
            "validatingwebhookconfigurations.admissionregistration.k8s.io other",
            "",
            false,
        ),
        (
            webhook,
            "delete",
            "validatingwebhookconfigurations.admissionregistration.k8s.io cnbi-webhook",
            "",
            false,
        ),
        (webhook, "create", "pipelineruns.tekton.dev", "cnbi-builds", false),
        (controller, "create", "pipelineruns.tekton.dev", "cnbi-builds", true),
        (controller, "create", "pipelineruns.tekton.dev", "team-a", false),
        (controller, "patch", "pipelines.tekton.dev", "cnbi-builds", false),
        (controller, "get", "secrets any", "team-a", true),
        (controller, "create", "secrets", "cnbi-builds", true),
        (controller, "create", "secrets", "team-a", false),
        (controller, "create", "secrets", "opendatahub", false),
        (controller, "delete", "secrets any", NAMESPACE, false),
        (controller, "deletecollection", "pods", "cnbi-builds", true),
        (controller, "deletecollection", "pods", "team-a", false),
        (controller, "delete", "pods any", "cnbi-builds", false),
        (
            controller,
            "create",
            "imagestreams.image.openshift.io",
            "opendatahub",
            false,
        ),
        (controller, "patch", "customnbimages.meteor.zone/status", "team-a", true),
        (
            controller,
            "patch",
            "leases.coordination.k8s.io other",
            NAMESPACE,
            false,
        ),
        (
            controller,
            "get",
            "mutatingwebhookconfigurations.admissionregistration.k8s.io cnbi-webhook",
            "",
            false,
        ),
    ];
    for (account, verb, what, namespace, allowed) in theirs {
        let answer = may(&reviews, account, verb, what, namespace).await?;
        assert_eq!(answer, allowed, "{account}: {verb} {what} in {namespace:?}");
    }
    Ok(())
}

/// With the component, Secrets are readable only in namespaces that the admin listed.
#[tokio::test]
async fn secret_access_can_be_limited_to_listed_namespaces() -> Outcome {
    let cluster = ControlPlane::start().await?;
    let folder = tempfile::tempdir_in(cluster.data())?;
    super::manifests::copy(&shipped::deploy(), folder.path())?;
    let own = folder.path().join("own");
    fs::create_dir(&own)?;
    let text = "resources: [../overlays/default]\ncomponents: [../components/listed-secrets]\n";
    fs::write(own.join("kustomization.yaml"), text)?;
    cluster.kubectl().args(["create", "namespace", "team-a"]).ok().await?;
    for applied in [own.as_path(), Path::new(&folder.path().join("secrets-of"))] {
        cluster.kubectl().args(["apply", "-k"]).arg(applied).ok().await?;
    }
    let reviews: Api<SubjectAccessReview> = Api::all(cluster.client().await?);
    for account in ["cnbi-system:cnbi-webhook", "cnbi-system:cnbi-controller"] {
        for (namespace, allowed) in [("team-a", true), ("team-b", false), ("kube-system", false)] {
            let answer = may(&reviews, account, "get", "secrets any", namespace).await?;
            assert_eq!(answer, allowed, "{account} in {namespace}");
        }
        assert!(!may(&reviews, account, "list", "secrets", "team-a").await?);
    }
    // It keeps its own CA.
    let own = "secrets cnbi-webhook-ca";
    assert!(may(&reviews, "cnbi-system:cnbi-webhook", "get", own, NAMESPACE).await?);
    assert!(!may(&reviews, "cnbi-system:cnbi-controller", "get", own, NAMESPACE).await?);
    Ok(())
}
