//! The reads and writes of a play, each of which outlasts an API server that restarts.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams, ValidationDirective};
use kube::{Client, Error};
use serde_json::{Value, json};

use crate::process::POLL;
use crate::tekton::task_run::{hex, owner};

/// How long the API server may be away.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// Who writes, in the managed fields: Tekton's controller is called `controller` there.
const MANAGER: &str = "played-tekton";

/// Repeats a request while the API server cannot be reached or says that it is not ready.
async fn patiently<T, F>(request: impl Fn() -> F) -> std::result::Result<T, Error>
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

/// What is there under a name; none when nothing is, or something of another uid.
pub(super) async fn read(api: &Api<DynamicObject>, name: &str, uid: Option<&str>) -> Result<Option<Value>> {
    let found = patiently(|| api.get_opt(name)).await;
    let found = found.with_context(|| format!("reading {name}"))?;
    let same = found.filter(|found| uid.is_none() || found.metadata.uid.as_deref() == uid);
    same.map(serde_json::to_value)
        .transpose()
        .context("reading what was read")
}

/// Writes the status, field by field; whether the object was still there.
pub(super) async fn tell(api: &Api<DynamicObject>, object: &Value, status: &Value) -> Result<bool> {
    let (name, uid) = identity(object);
    let patch = Patch::Merge(json!({"metadata": {"uid": uid}, "status": status}));
    let params = params();
    let answer = patiently(|| api.patch_status(name, &params, &patch)).await;
    still_there(answer).with_context(|| format!("writing to the status of {name}: {status}"))
}

/// Changes the spec; whether the object was still there.
pub(super) async fn order(api: &Api<DynamicObject>, object: &Value, spec: &Value) -> Result<bool> {
    let (name, uid) = identity(object);
    let patch = Patch::Merge(json!({"metadata": {"uid": uid}, "spec": spec}));
    let params = params();
    let answer = patiently(|| api.patch(name, &params, &patch)).await;
    still_there(answer).with_context(|| format!("writing to the spec of {name}: {spec}"))
}

/// Sets a label that is not there yet; whether the object was still there.
pub(super) async fn label(api: &Api<DynamicObject>, object: &Value, key: &str, value: &str) -> Result<bool> {
    if !object["metadata"]["labels"][key].is_null() {
        return Ok(true);
    }
    let (name, uid) = identity(object);
    let patch = Patch::Merge(json!({"metadata": {"uid": uid, "labels": {key: value}}}));
    let params = params();
    let answer = patiently(|| api.patch(name, &params, &patch)).await;
    still_there(answer).with_context(|| format!("labelling {name}"))
}

/// Makes an object, or finds what an attempt before has made.
pub(super) async fn make(api: &Api<DynamicObject>, object: &Value) -> Result<Value> {
    let (name, _) = identity(object);
    let wanted: DynamicObject = serde_json::from_value(object.clone()).context("making an object")?;
    let params = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    let made = patiently(|| api.create(&params, &wanted)).await;
    let made = match made {
        Err(Error::Api(status)) if status.code == 409 => patiently(|| api.get(name)).await,
        made => made,
    };
    let made = made.with_context(|| format!("making {name}"))?;
    serde_json::to_value(made).context("reading what was made")
}

/// The claims that Tekton makes of a run's `volumeClaimTemplate`s: they belong to the run.
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
        make(&claims, &claim).await?;
    }
    Ok(())
}

fn identity(object: &Value) -> (&str, &Value) {
    let metadata = &object["metadata"];
    (metadata["name"].as_str().unwrap_or_default(), &metadata["uid"])
}

/// Unknown fields are errors: Tekton writes none.
fn params() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    }
}

/// Another uid is a conflict: then it is another object of the same name.
fn still_there(answer: std::result::Result<DynamicObject, Error>) -> Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(false),
        Err(error) => Err(error.into()),
    }
}
