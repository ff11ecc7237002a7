//! The fake's API requests, which are repeated while the API server restarts.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams, ValidationDirective};
use kube::{Client, Error};
use serde_json::{Value, json};

use super::task_run::{hex, owner};
use crate::process::POLL;

/// How long the API server may be unavailable.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// The field manager. Tekton's own is `controller`.
const MANAGER: &str = "fake-tekton";

/// Repeats a request while the API server is unreachable, unavailable or overloaded.
async fn with_retries<T, F>(request: impl Fn() -> F) -> std::result::Result<T, Error>
where
    F: Future<Output = std::result::Result<T, Error>>,
{
    let begin = Instant::now();
    loop {
        let answer = request().await;
        let passing = match &answer {
            Ok(_) => false,
            Err(Error::Api(status)) => status.code >= 500 || status.code == 429,
            Err(_) => true,
        };
        if !passing || begin.elapsed() > BACK_WITHIN {
            return answer;
        }
        tokio::time::sleep(POLL * 5).await;
    }
}

/// Reads an object; `None` if it does not exist or has another UID.
pub(super) async fn read(api: &Api<DynamicObject>, name: &str, uid: Option<&str>) -> Result<Option<Value>> {
    let found = with_retries(|| api.get_opt(name)).await;
    let found = found.with_context(|| format!("reading {name}"))?;
    let same = found.filter(|found| uid.is_none() || found.metadata.uid.as_deref() == uid);
    same.map(serde_json::to_value)
        .transpose()
        .context("converting the object")
}

/// Merges into the status. Returns whether the object still existed.
pub(super) async fn write_status(api: &Api<DynamicObject>, object: &Value, status: &Value) -> Result<bool> {
    let (name, uid) = identity(object);
    let patch = Patch::Merge(json!({"metadata": {"uid": uid}, "status": status}));
    let params = params();
    let answer = with_retries(|| api.patch_status(name, &params, &patch)).await;
    existed(answer).with_context(|| format!("writing to the status of {name}: {status}"))
}

/// Merges into the spec. Returns whether the object still existed.
pub(super) async fn change_spec(api: &Api<DynamicObject>, object: &Value, spec: &Value) -> Result<bool> {
    let (name, uid) = identity(object);
    let patch = Patch::Merge(json!({"metadata": {"uid": uid}, "spec": spec}));
    let params = params();
    let answer = with_retries(|| api.patch(name, &params, &patch)).await;
    existed(answer).with_context(|| format!("writing to the spec of {name}: {spec}"))
}

/// Sets a label unless it has a value. Returns whether the object still existed.
pub(super) async fn label(api: &Api<DynamicObject>, object: &Value, key: &str, value: &str) -> Result<bool> {
    if !object["metadata"]["labels"][key].is_null() {
        return Ok(true);
    }
    let (name, uid) = identity(object);
    let patch = Patch::Merge(json!({"metadata": {"uid": uid, "labels": {key: value}}}));
    let params = params();
    let answer = with_retries(|| api.patch(name, &params, &patch)).await;
    existed(answer).with_context(|| format!("labelling {name}"))
}

/// Creates an object, or returns the one that an earlier attempt created.
pub(super) async fn create_or_get(api: &Api<DynamicObject>, object: &Value) -> Result<Value> {
    let (name, _) = identity(object);
    let wanted: DynamicObject = serde_json::from_value(object.clone()).context("reading the object to create")?;
    let params = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    let made = with_retries(|| api.create(&params, &wanted)).await;
    let made = match made {
        Err(Error::Api(status)) if status.code == 409 => with_retries(|| api.get(name)).await,
        made => made,
    };
    let made = made.with_context(|| format!("creating {name}"))?;
    serde_json::to_value(made).context("reading the created object")
}

/// Creates the PersistentVolumeClaims of a run's `volumeClaimTemplate`s, owned by the run.
pub(super) async fn claim_volumes(client: &Client, run: &Value) -> Result<()> {
    let uid = run["metadata"]["uid"].as_str().unwrap_or_default();
    let namespace = run["metadata"]["namespace"].as_str().unwrap_or_default();
    let kind = kube::api::GroupVersionKind::gvk("", "v1", "PersistentVolumeClaim");
    let claims = kube::api::ApiResource::from_gvk(&kind);
    let claims: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &claims);
    let none = Vec::new();
    for workspace in run["spec"]["workspaces"].as_array().unwrap_or(&none) {
        let template = &workspace["volumeClaimTemplate"];
        if template.is_null() {
            continue;
        }
        let prefix = template["metadata"]["name"].as_str().unwrap_or("pvc");
        let hash = hex(
            format!("{}{uid}", workspace["name"].as_str().unwrap_or_default()).as_bytes(),
            10,
        );
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": format!("{prefix}-{hash}"), "namespace": namespace, "ownerReferences": [owner(run)],
                "labels": template["metadata"]["labels"], "annotations": template["metadata"]["annotations"],
            },
            "spec": template["spec"],
        });
        create_or_get(&claims, &claim).await?;
    }
    Ok(())
}

fn identity(object: &Value) -> (&str, &Value) {
    let metadata = &object["metadata"];
    (metadata["name"].as_str().unwrap_or_default(), &metadata["uid"])
}

/// Unknown fields are errors, because Tekton writes none.
fn params() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    }
}

/// A conflict means that another object has the name now: the patch contains the UID.
fn existed(answer: std::result::Result<DynamicObject, Error>) -> Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(false),
        Err(error) => Err(error.into()),
    }
}
