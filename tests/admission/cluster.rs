//! The shared control plane: CNBi's kind, the ImageStream kind, two users, and waiting for conditions.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::fake_tekton::install_image_streams;
use http::Method;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::api_response::send_request;
use crate::rule_examples;

/// A user who may do everything.
pub const ADMIN: &str = "admin";
/// A user who may write resources of ours and nothing else.
pub const ALICE: &str = "alice";
/// The configured target namespace of what is shipped.
pub const TARGET: &str = "opendatahub";

/// How long anything may take that is waited for.
pub const WITHIN: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(25);

/// The control plane of this process, with the kinds and the users that tests need.
pub async fn cluster() -> Result<&'static ControlPlane> {
    static PREPARED: OnceCell<()> = OnceCell::const_new();
    let cluster = ControlPlane::shared().await?;
    PREPARED
        .get_or_try_init(|| async {
            prepare_users(cluster).await?;
            prepare_streams(cluster).await?;
            rule_examples::store_befores(cluster).await
        })
        .await?;
    Ok(cluster)
}

/// Makes the users and the target namespace.
pub async fn prepare_users(cluster: &ControlPlane) -> Result<()> {
    let group = "rbac.authorization.k8s.io";
    let role = |name: &str, group: &str, resource: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
            "rules": [{"apiGroups": [group], "resources": [resource], "verbs": ["*"]}]})
    };
    let binding = |user: &str, role: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("{user}-{role}")},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}]})
    };
    let items = json!([
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TARGET}},
        role("stream-maker", "image.openshift.io", "imagestreams"),
        role("resource-writer", "meteor.zone", "customnbimages"),
        binding(ADMIN, "cluster-admin"),
        binding(ALICE, "resource-writer"),
    ]);
    apply(cluster, &items).await
}

/// Has ImageStreams known, and waits until they are.
async fn prepare_streams(cluster: &ControlPlane) -> Result<()> {
    install_image_streams(cluster).await?;
    let client = cluster.client().await?;
    until("ImageStreams are served", async || {
        let path = "/apis/image.openshift.io/v1/imagestreams";
        let response = send_request(&client, Some(ADMIN), Method::GET, path, &Value::Null).await;
        Ok(response.is_ok_and(|response| response.is_success()))
    })
    .await
}

/// Applies objects with kubectl, in their order.
pub async fn apply(cluster: &ControlPlane, items: &Value) -> Result<()> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    cluster.kubectl().args(["apply", "-f", "-"]).stdin(list).ok().await?;
    Ok(())
}

/// Waits until somebody may do something, or may not any more.
pub async fn until_allowed(client: &Client, user: &str, attributes: &Value, is_allowed: bool) -> Result<()> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": ["system:authenticated"], "resourceAttributes": attributes},
    });
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    until(&format!("{user} has or has not {attributes}"), async || {
        let response = send_request(client, None, Method::POST, path, &review).await?;
        Ok(response.body["status"]["allowed"] == is_allowed)
    })
    .await
}

/// A resource of ours with nothing wrong in it, and with `spec` merged into its spec.
pub fn resource(namespace: &str, name: &str, spec: Value) -> Value {
    let mut resource = json!({
        "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
        "metadata": {"name": name, "namespace": namespace, "annotations": {
            "opendatahub.io/notebook-image-name": "An example", "opendatahub.io/notebook-image-desc": "For the tests.",
        }},
        "spec": {"buildType": "ImageImport", "fromImage": "quay.io/thoth-station/s2i-minimal-py38-notebook:v0.2.2"},
    });
    if let (Some(all), Value::Object(more)) = (resource["spec"].as_object_mut(), spec) {
        all.extend(more);
    }
    resource
}

/// Where a resource of ours is.
pub fn path_of(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    collection(object, &format!("/{name}"))
}

/// Where the resources of a resource's namespace are, and `rest`.
pub fn collection(object: &Value, rest: &str) -> String {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    format!("/apis/meteor.zone/v1alpha1/namespaces/{namespace}/customnbimages{rest}")
}

/// Asks until the answer is yes.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let begin = Instant::now();
    while !holds().await? {
        if begin.elapsed() > WITHIN {
            bail!("waited in vain until {what}");
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
