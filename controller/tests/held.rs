//! Heap memory per resource: an import that is Ready, with its run and its ImageStream, in bytes requested from the allocator.
//!
//! Resident memory also depends on the allocator and on the reconciles; `tests/controller/scale.rs` measures it.

use std::sync::Arc;

use allocation_counter::measure;
use cnbi_controller::reconcile::pending_writes::PendingWrites;
use cnbi_controller::watch::cache::Cache;
use cnbi_controller::watch::projections::{ImageStream, PipelineRun, WatchedObject};
use cnbi_controller::watch::stored::Stored;
use kube::runtime::reflector::store;
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Limit per resource in bytes: half of the budget of resident memory.
const LIMIT: u64 = 10 * 1024;

const MANY: u64 = 1000;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn metadata(namespace: &str, name: &str, index: u64, labels: &Value, annotations: &Value) -> Value {
    json!({
        "name": name, "namespace": namespace, "uid": format!("e43ae8e7-bc0f-4693-8b2c-{index:0>12}"), "generation": 1,
        "resourceVersion": format!("{}", 1_000_000 + index), "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": labels, "annotations": annotations, "finalizers": ["meteor.zone/cleanup"],
        "managedFields": [{"manager": "m", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:x": {}}}}],
    })
}

/// Texts have the same length as on a cluster.
fn import(index: u64) -> Value {
    let name = format!("notebook-{index:0>4}");
    let run = format!("{name}-867d2d7f3392");
    let said = |type_: &str, status: &str, reason: &str, message: &str| {
        json!({"type": type_, "status": status, "reason": reason, "message": message, "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:01:00Z"})
    };
    let annotations =
        json!({"opendatahub.io/notebook-image-creator": "alice", "opendatahub.io/notebook-image-name": name});
    json!({
        "metadata": metadata("data-science", &name, index, &json!({}), &annotations),
        "spec": {"buildType": "ImageImport", "fromImage": format!("quay.io/data-science/{name}-notebook:v0.2.2"),
            "targetNamespace": "opendatahub"},
        "status": {
            "observedGeneration": 1, "phase": "Ready", "step": "Success",
            "conditions": [
                said("Ready", "True", "ImageReady", &format!("Published as opendatahub/{name}:v0.2.2")),
                said("Reconciling", "False", "Done", "No build in progress"),
                said("Stalled", "False", "Done", "No permanent failure"),
                said("WellFormed", "True", "RulesPassed", "All rules that do not need the cluster pass"),
                said("PipelineRunCreated", "True", "RunCreated", &format!("PipelineRun cnbi-builds/{run}")),
                said("ImageValidated", "True", "Done", "Completed"),
                said("ImageStreamUpdated", "True", "TagUpdated", &format!("opendatahub/{name}:v0.2.2 points at the image")),
            ],
            "history": [{"name": run, "generation": 1, "outcome": "Success", "digest": DIGEST}],
            "image": {"digest": DIGEST, "tag": "v0.2.2", "reference": format!("quay.io/data-science/{name}-notebook@{DIGEST}")},
            "imageStream": {"namespace": "opendatahub", "name": name, "tag": "v0.2.2"},
            "pipelineRun": {"namespace": "cnbi-builds", "name": run, "attempt": 1, "startTime": "2026-01-01T00:00:01Z",
                "completionTime": "2026-01-01T00:01:00Z"},
        },
    })
}

fn run(index: u64) -> Value {
    let labels = json!({"meteor.zone/uid": format!("e43ae8e7-bc0f-4693-8b2c-{index:0>12}"), "meteor.zone/namespace": "data-science",
        "meteor.zone/generation": "1", "meteor.zone/attempt": "1", "app.kubernetes.io/managed-by": "cnbi-controller"});
    let annotations =
        json!({"meteor.zone/owned-by": format!("data-science/notebook-{index:0>4}"), "meteor.zone/tries": "1"});
    let name = format!("notebook-{index:0>4}-867d2d7f3392");
    json!({
        "metadata": metadata("cnbi-builds", &name, index, &labels, &annotations),
        "spec": {"pipelineRef": {"name": "cnbi-import"}, "params": [{"name": "tag", "value": "v0.2.2"}], "workspaces": []},
        "status": {
            "startTime": "2026-01-01T00:00:01Z", "completionTime": "2026-01-01T00:01:00Z",
            "conditions": [{"type": "Succeeded", "status": "True", "reason": "Completed", "message": "Tasks Completed: 4"}],
            "childReferences": [{"kind": "TaskRun", "name": format!("{name}-setup")}],
            "results": [{"name": "digest", "value": DIGEST},
                {"name": "reference", "value": format!("quay.io/data-science/notebook-{index:0>4}@{DIGEST}")}],
        },
    })
}

fn stream(index: u64) -> Value {
    let name = format!("notebook-{index:0>4}");
    let annotations = json!({"meteor.zone/owned-by": format!("data-science/{name}"),
        "opendatahub.io/notebook-image-creator": "alice", "opendatahub.io/notebook-image-name": name});
    json!({
        "metadata": metadata("opendatahub", &name, index, &json!({"opendatahub.io/notebook-image": "true"}), &annotations),
        "spec": {"tags": [{"name": "v0.2.2", "generation": 1}]},
        "status": {"tags": [{"tag": "v0.2.2", "items": [{"generation": 1, "image": DIGEST}]}]},
    })
}

/// Bytes per object, after `keep` has been called for all of them.
fn each<T: DeserializeOwned>(what: &str, object: impl Fn(u64) -> Value, mut keep: impl FnMut(T)) -> u64 {
    let held = measure(|| {
        for index in 0..MANY {
            keep(serde_json::from_str(&object(index).to_string()).unwrap());
        }
    });
    let each = u64::try_from(held.bytes_current).unwrap() / MANY;
    eprintln!("{what}: {each} bytes");
    each
}

#[test]
fn a_ready_resource_stays_within_the_memory_budget() {
    let (resources, mut writer) = store::<Stored>();
    let (mut runs, mut streams, pending_writes) = (
        Cache::<PipelineRun>::default(),
        Cache::<ImageStream>::default(),
        PendingWrites::default(),
    );
    let mut all = each("resource", import, |resource| {
        writer.apply_watcher_event(&Event::Apply(resource));
    });
    all += each("pending writes", import, |resource| {
        pending_writes.newest(&Arc::new(resource));
    });
    all += each("run", run, |run: WatchedObject<PipelineRun>| {
        runs.apply(Event::Apply(run));
    });
    all += each("stream", stream, |stream: WatchedObject<ImageStream>| {
        streams.apply(Event::Apply(stream));
    });
    assert_eq!(
        (
            resources.len() as u64,
            runs.all().count() as u64,
            streams.all().count() as u64
        ),
        (MANY, MANY, MANY)
    );
    assert!(all <= LIMIT, "{all} bytes per resource");
}
