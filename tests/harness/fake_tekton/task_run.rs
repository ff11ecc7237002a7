//! The TaskRuns that Tekton creates for a run, and their statuses. No I/O.

use k8s_openapi::jiff::Timestamp;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::run_status::{condition, time};
use super::scenario::{Cause, Results, TaskFailure};

/// Tekton's limit for the length of a name.
const LONGEST: usize = 63;

/// `spec.statusMessage` of TaskRuns that are stopped with their run.
pub(super) const CANCELLED: &str = "TaskRun cancelled as the PipelineRun it belongs to has been cancelled.";
pub(super) const OUT_OF_TIME: &str = "TaskRun cancelled as the PipelineRun it belongs to has timed out.";

/// The name of a TaskRun: run and task, or a hash if that is too long. Tekton's hash is another one; the name is read from the
/// run's `childReferences`.
pub(super) fn name(run: &str, task: &str) -> String {
    let whole = format!("{run}-{task}");
    if whole.len() <= LONGEST {
        return whole;
    }
    let hash = hex(whole.as_bytes(), 32);
    let kept: String = run.chars().take(LONGEST - hash.len()).collect();
    format!("{kept}{hash}")
}

/// The first `length` hexadecimal digits of a SHA-256.
pub(super) fn hex(of: &[u8], length: usize) -> String {
    hex::encode(digest(&SHA256, of)).chars().take(length).collect()
}

/// An owner reference to the run, so that the garbage collector deletes the object with it.
pub(super) fn owner(run: &Value) -> Value {
    json!({
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "controller": true, "blockOwnerDeletion": true,
        "name": run["metadata"]["name"], "uid": run["metadata"]["uid"],
    })
}

/// A TaskRun as Tekton creates it: with the run's labels, annotations, service account and pod template, and the task's
/// `spec.taskRunSpecs`. Parameters and workspaces are left out.
pub(super) fn new_task_run(run: &Value, task: &str, is_final: bool) -> Value {
    let metadata = &run["metadata"];
    let map = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let (spec, template) = (&run["spec"], &run["spec"]["taskRunTemplate"]);
    let own = spec["taskRunSpecs"].as_array().into_iter().flatten();
    let own = own
        .rev()
        .find(|own| own["pipelineTaskName"] == task)
        .unwrap_or(&Value::Null);

    let mut labels = map(&own["metadata"]["labels"]);
    labels.extend(map(&metadata["labels"]));
    let run_name = metadata["name"].as_str().unwrap_or_default();
    let pipeline = spec["pipelineRef"]["name"].as_str().unwrap_or(run_name);
    for (label, value) in [
        ("app.kubernetes.io/managed-by", "tekton-pipelines"),
        ("tekton.dev/pipeline", pipeline),
    ] {
        labels.entry(label).or_insert_with(|| value.into());
    }
    labels.insert("tekton.dev/pipelineRun".to_owned(), run_name.into());
    labels.insert("tekton.dev/pipelineRunUID".to_owned(), metadata["uid"].clone());
    labels.insert("tekton.dev/pipelineTask".to_owned(), task.into());
    let member_of = if is_final { "finally" } else { "tasks" };
    labels.insert("tekton.dev/memberOf".to_owned(), member_of.into());
    let mut annotations = map(&own["metadata"]["annotations"]);
    annotations.extend(map(&metadata["annotations"]));
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");

    let mut new_task_run = Map::new();
    new_task_run.insert("taskRef".to_owned(), json!({"kind": "Task", "name": task}));
    let account = [&own["serviceAccountName"], &template["serviceAccountName"]];
    let account = account.into_iter().find_map(Value::as_str).unwrap_or("default");
    new_task_run.insert("serviceAccountName".to_owned(), account.into());
    let mut pod = map(&template["podTemplate"]);
    pod.extend(map(&own["podTemplate"]));
    if !pod.is_empty() {
        new_task_run.insert("podTemplate".to_owned(), pod.into());
    }
    for field in ["computeResources", "stepSpecs", "sidecarSpecs", "timeout"] {
        if !own[field].is_null() {
            new_task_run.insert(field.to_owned(), own[field].clone());
        }
    }
    new_task_run.entry("timeout").or_insert_with(|| "1h0m0s".into());
    json!({
        "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "metadata": {
            "name": name(run_name, task), "namespace": metadata["namespace"], "ownerReferences": [owner(run)],
            "labels": labels, "annotations": annotations,
        },
        "spec": new_task_run,
    })
}

/// The status while steps run.
pub(super) fn running(name: &str, now: Timestamp) -> Value {
    json!({
        "conditions": [condition("Unknown", "Running", "Not all Steps in the Task have finished executing", now)],
        "startTime": time(now),
        "podName": pod(name),
        "steps": [{"name": "main", "container": "step-main", "running": {"startedAt": time(now)}}],
    })
}

/// The status after success.
pub(super) fn succeeded(started: &Value, results: &Results, now: Timestamp) -> Value {
    let message = "All Steps have completed executing";
    json!({
        "conditions": [condition("True", "Succeeded", message, now)],
        "completionTime": time(now),
        "steps": [step("main", 0, "Completed", started, now)],
        "results": result_list(results),
    })
}

/// The status after a failure. `name` is the TaskRun's, `started` its start time.
pub(super) fn failed(name: &str, timeout: &str, failure: &TaskFailure, started: &Value, now: Timestamp) -> Value {
    let (reason, message, step) = match &failure.cause {
        Cause::Exit { step: of, code } => (
            "StepFailed",
            format!("\"step-{of}\" exited with code {code}: Error"),
            step(of, *code, "Error", started, now),
        ),
        Cause::OutOfMemory { step: of } => (
            "StepOOM",
            format!("\"step-{of}\" exited with code 137: OOMKilled"),
            step(of, 137, "OOMKilled", started, now),
        ),
        Cause::ImagePull { step: of, image } => (
            "TaskRunImagePullFailed",
            format!(
                "the step \"{of}\" in TaskRun \"{name}\" failed to pull the image \"\". The pod errored with the message: \
                 \"Back-off pulling image \"{image}\".\""
            ),
            stopped(of, name, "TaskRunImagePullFailed", started, now),
        ),
        Cause::Evicted { message } => ("PodEvicted", message.clone(), step("main", 137, "Error", started, now)),
        Cause::TimedOut => (
            "TaskRunTimeout",
            format!("TaskRun \"{name}\" failed to finish within \"{timeout}\""),
            stopped("main", name, "TaskRunTimeout", started, now),
        ),
    };
    json!({
        "conditions": [condition("False", reason, &message, now)],
        "completionTime": time(now),
        "steps": [step],
        "results": result_list(&failure.results),
    })
}

/// The status of a TaskRun that was stopped with its run; `why` is its `spec.statusMessage`.
pub(super) fn cancelled(name: &str, why: &str, started: &Value, now: Timestamp) -> Value {
    let message = format!("TaskRun \"{name}\" was cancelled. {why}");
    json!({
        "conditions": [condition("False", "TaskRunCancelled", &message, now)],
        "completionTime": time(now),
        "steps": [stopped("main", name, "TaskRunCancelled", started, now)],
    })
}

fn pod(name: &str) -> String {
    format!("{name}-pod")
}

fn step(name: &str, code: i32, reason: &str, started: &Value, now: Timestamp) -> Value {
    json!({
        "name": name, "container": format!("step-{name}"), "terminationReason": reason,
        "terminated": {"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": time(now)},
    })
}

fn stopped(of: &str, name: &str, reason: &str, started: &Value, now: Timestamp) -> Value {
    let mut step = step(of, 1, reason, started, now);
    step["terminated"]["message"] = format!("Step {of} terminated as pod {} is terminated", pod(name)).into();
    step
}

fn result_list(results: &Results) -> Value {
    let result = |(name, value): &(String, String)| json!({"name": name, "type": "string", "value": value});
    results.iter().map(result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        assert_eq!(name("run", "validate"), "run-validate");
        let run = "r".repeat(LONGEST);
        let (one, other) = (name(&run, "setup"), name(&run, "push"));
        assert_eq!((one.len(), other.len()), (LONGEST, LONGEST));
        assert_ne!(one, other);
    }
}
