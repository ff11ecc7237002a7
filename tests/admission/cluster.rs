//! The shared control plane with the CustomNBImage and ImageStream kinds and two users, and helpers that wait for conditions.

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

/// A user with the ClusterRole cluster-admin.
pub const ADMIN: &str = "admin";
/// A user who may write CustomNBImages and nothing else.
pub const ALICE: &str = "alice";
/// The target namespace in the shipped configuration.
pub const TARGET: &str = "opendatahub";

/// Timeout of each wait.
pub const WITHIN: Duration = Duration::from_secs(60);

/// Interval between two checks of a condition.
const POLL: Duration = Duration::from_millis(25);

/// Returns the control plane of this process, with the kinds and users that the tests need.
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

/// Creates the users and the target namespace.
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

/// Installs the ImageStream kind and waits until the API server serves it.
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

/// Applies objects with kubectl, in the given order.
pub async fn apply(cluster: &ControlPlane, items: &Value) -> Result<()> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    cluster.kubectl().args(["apply", "-f", "-"]).stdin(list).ok().await?;
    Ok(())
}

/// Waits until a SubjectAccessReview of the user returns `is_allowed`.
pub async fn until_allowed(client: &Client, user: &str, attributes: &Value, is_allowed: bool) -> Result<()> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": ["system:authenticated"], "resourceAttributes": attributes},
    });
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    until(&format!("allowed={is_allowed}: {user} {attributes}"), async || {
        let response = send_request(client, None, Method::POST, path, &review).await?;
        Ok(response.body["status"]["allowed"] == is_allowed)
    })
    .await
}

/// A valid CustomNBImage, with `spec` merged into its spec.
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

/// The URL path of a CustomNBImage.
pub fn path_of(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    collection(object, &format!("/{name}"))
}

/// The URL path of the CustomNBImages in the object's namespace, followed by `rest`.
pub fn collection(object: &Value, rest: &str) -> String {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    format!("/apis/meteor.zone/v1alpha1/namespaces/{namespace}/customnbimages{rest}")
}

/// Waits until the condition holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let begin = Instant::now();
    while !holds().await? {
        if begin.elapsed() > WITHIN {
            bail!("timed out waiting until {what}");
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
