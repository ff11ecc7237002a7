//! The reviews of the load, as the API server sends them, and the objects that they refer to.

use serde_json::{Value, json};

/// The namespace of the resources.
pub const NAMESPACE: &str = "measured";
/// The pull secret of the import.
pub const SECRET: &str = "private-registry-credentials";

/// Twenty common packages.
const PACKAGES: [&str; 20] = [
    "pandas>=1.5,<3",
    "numpy==1.26.4",
    "scipy~=1.11.0",
    "scikit-learn>=1.3.0,!=1.3.1",
    "matplotlib",
    "seaborn>=0.12",
    "requests[socks]>=2.28,<3",
    "boto3>=1.24.0",
    "sqlalchemy[asyncio]~=2.0.20",
    "pyarrow>=14",
    "jupyterlab==4.0.*",
    "ipywidgets",
    "plotly>=5.18",
    "xgboost>=2,<3",
    "lightgbm==4.1.0",
    "torch>=2.1; platform_machine == \"x86_64\"",
    "transformers>=4.36.0,<5",
    "importlib-metadata>=6; python_version < \"3.10\"",
    "python-dateutil~=2.8",
    "tqdm>=4.66",
];

/// The policy for the load: shipped catalog, target namespace equal to the resource's own, no check for an existing ImageStream.
/// So one kind of review reads nothing, and the other reads one Secret.
pub const POLICY: &str = r#"targetNamespace: {default: ""}
rules: {CNB004: "Off"}
runtimeEnvironments:
  - {osName: ubi, osVersion: "8", pythonVersion: "3.8", builderImage: "quay.io/thoth-station/s2i-minimal-py38-notebook:v0.2.2"}
"#;

/// The spec of a package list.
pub fn package_list() -> Value {
    json!({
        "buildType": "PackageList",
        "runtimeEnvironment": {"osName": "ubi", "osVersion": "8", "pythonVersion": "3.8"},
        "packageVersions": PACKAGES,
        "targetNamespace": NAMESPACE,
    })
}

/// The spec of an import with a pull secret.
pub fn import() -> Value {
    json!({
        "buildType": "ImageImport",
        "fromImage": "quay.io/goern/private-s2i-minimal-py38-notebook:v0.2.2",
        "imagePullSecret": {"name": SECRET},
        "targetNamespace": NAMESPACE,
    })
}

/// A resource as `kubectl apply` sends it.
pub fn resource(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "meteor.zone/v1alpha1",
        "kind": "CustomNBImage",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {
                "opendatahub.io/notebook-image-name": "A notebook to measure with",
                "opendatahub.io/notebook-image-desc": "What most people need, in versions that go together.",
                "opendatahub.io/notebook-image-creator": "alice",
            },
        },
        "spec": spec,
    })
}

/// The resource as the API server passes it to webhooks.
pub fn stored(mut object: Value) -> Value {
    let fields = json!({
        "f:metadata": {"f:annotations": {
            ".": {},
            "f:opendatahub.io/notebook-image-creator": {},
            "f:opendatahub.io/notebook-image-desc": {},
            "f:opendatahub.io/notebook-image-name": {},
        }},
        "f:spec": {".": {}, "f:buildType": {}, "f:packageVersions": {}, "f:runtimeEnvironment": {
            ".": {}, "f:osName": {}, "f:osVersion": {}, "f:pythonVersion": {},
        }},
    });
    let metadata = &mut object["metadata"];
    metadata["uid"] = "0f8b9f3c-4d0a-4f39-a7c9-2f3b0f1c9a55".into();
    metadata["creationTimestamp"] = "2024-05-01T12:00:00Z".into();
    metadata["generation"] = 1.into();
    metadata["managedFields"] = json!([{
        "manager": "kubectl-client-side-apply",
        "operation": "Update",
        "apiVersion": "meteor.zone/v1alpha1",
        "time": "2024-05-01T12:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }]);
    object
}

/// A review of a create, or of an update.
pub fn review(object: &Value, old: Option<&Value>) -> Value {
    let kind = json!({"group": "meteor.zone", "version": "v1alpha1", "kind": "CustomNBImage"});
    let resource = json!({"group": "meteor.zone", "version": "v1alpha1", "resource": "customnbimages"});
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": name,
            "namespace": object["metadata"]["namespace"],
            "operation": if old.is_some() { "UPDATE" } else { "CREATE" },
            "userInfo": {"username": "alice", "groups": ["data-scientists", "system:authenticated"]},
            "object": object,
            "oldObject": old,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-client-side-apply"},
        },
    })
}

/// A pull secret with a dummy password.
pub fn pull_secret(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": r#"{"auths": {"quay.io": {"auth": "dXNlcjpwYXNzd29yZA=="}}}"#},
    })
}
