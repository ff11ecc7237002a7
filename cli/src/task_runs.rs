//! The TaskRuns of a PipelineRun, and the logs of their steps. Users often lack the permission to read these in the build
//! namespace, so errors are text to show beside the status.

use futures::AsyncReadExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, LogParams};
use serde_json::Value;

use super::connection::{describe, is_missing};
use super::terminal::sanitize_log_line;
use kube::Client;

/// Maximum bytes to read from the end of a log.
const TAIL_BYTES: i64 = 64 * 1024;

/// State of a task or a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not started.
    Waiting,
    /// Running.
    Running,
    /// Succeeded.
    Succeeded,
    /// Failed.
    Failed,
}

/// The parts of a TaskRun that are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRun {
    /// Name of the task in its Pipeline.
    pub task: String,
    /// State.
    pub state: State,
    /// Tekton's reason of the condition `Succeeded`.
    pub reason: String,
    /// Start time.
    pub start: Option<Timestamp>,
    /// Completion time.
    pub end: Option<Timestamp>,
    /// Name of its pod, if created.
    pub pod: Option<String>,
    /// Steps in order.
    pub steps: Vec<Step>,
}

/// A step of a TaskRun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Name.
    pub name: String,
    /// Name of its container.
    pub container: String,
    /// State.
    pub state: State,
    /// Exit code, if terminated.
    pub exit_code: Option<i64>,
}

impl TaskRun {
    /// Reads a TaskRun. Missing fields are left empty.
    pub fn read(object: &Value) -> Self {
        let (labels, status) = (&object["metadata"]["labels"], &object["status"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let time = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let succeeded = conditions
            .clone()
            .find(|condition| condition["type"] == "Succeeded")
            .unwrap_or(&Value::Null);
        let state = match succeeded["status"].as_str() {
            Some("True") => State::Succeeded,
            Some("False") => State::Failed,
            _ if status["startTime"].is_string() => State::Running,
            _ => State::Waiting,
        };
        Self {
            task: text(&labels["tekton.dev/pipelineTask"]),
            state,
            reason: text(&succeeded["reason"]),
            start: time(&status["startTime"]),
            end: time(&status["completionTime"]),
            pod: Some(text(&status["podName"])).filter(|pod| !pod.is_empty()),
            steps: status["steps"]
                .as_array()
                .into_iter()
                .flatten()
                .map(Step::read)
                .collect(),
        }
    }

    /// The first failed step.
    pub fn failed_step(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.state == State::Failed)
    }
}

impl Step {
    fn read(step: &Value) -> Self {
        let name = step["name"].as_str().unwrap_or_default();
        let exit_code = step["terminated"]["exitCode"].as_i64();
        Self {
            name: name.to_owned(),
            container: step["container"]
                .as_str()
                .map_or_else(|| format!("step-{name}"), str::to_owned),
            state: match exit_code {
                Some(0) => State::Succeeded,
                Some(_) => State::Failed,
                None if step["running"].is_object() => State::Running,
                None => State::Waiting,
            },
            exit_code,
        }
    }
}

/// The API of TaskRuns in a namespace.
pub fn task_runs(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("tekton.dev", "v1", "TaskRun");
    let kind = ApiResource::from_gvk_with_plural(&kind, "taskruns");
    Api::namespaced_with(client.clone(), namespace, &kind)
}

/// The TaskRuns of a PipelineRun by start time. Errors are text for the user.
pub async fn list(client: &Client, namespace: &str, run: &str) -> Result<Vec<TaskRun>, String> {
    let params = ListParams::default().labels(&format!("tekton.dev/pipelineRun={run}"));
    let list = task_runs(client, namespace)
        .list(&params)
        .await
        .map_err(|error| match &error {
            kube::Error::Api(status) if status.code == 403 => {
                format!("No permission to read TaskRuns in {namespace}")
            }
            error if is_missing(error) => "Tekton is not installed in this cluster".to_owned(),
            error => describe(error),
        })?;
    let mut found: Vec<TaskRun> = list
        .items
        .iter()
        .filter_map(|object| serde_json::to_value(object).ok())
        .map(|object| TaskRun::read(&object))
        .collect();
    found.sort_by(|a, b| (a.start.is_none(), a.start, &a.task).cmp(&(b.start.is_none(), b.start, &b.task)));
    Ok(found)
}

/// The last lines of a container's log, sanitized. Errors are text for the user.
pub async fn log_tail(
    client: &Client,
    namespace: &str,
    pod: &str,
    container: &str,
    lines: usize,
) -> Result<Vec<String>, String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = LogParams {
        container: Some(container.to_owned()),
        tail_lines: i64::try_from(lines).ok(),
        limit_bytes: Some(TAIL_BYTES),
        ..LogParams::default()
    };
    let stream = pods
        .log_stream(pod, &params)
        .await
        .map_err(|error| log_error(&error, namespace, pod))?;
    let mut bytes = Vec::new();
    let mut stream = std::pin::pin!(stream);
    // After an interruption, the part that was read is shown.
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8_lossy(&bytes);
    let mut shown: Vec<String> = text
        .lines()
        .map(sanitize_log_line)
        .filter(|line| !line.is_empty())
        .collect();
    if shown.len() > lines {
        shown.drain(..shown.len() - lines);
    }
    Ok(shown)
}

/// Why a log cannot be read, as text for the user.
pub fn log_error(error: &kube::Error, namespace: &str, pod: &str) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            format!(
                "no permission to read pod logs in {namespace}; ask an admin to run: kubectl logs -n {namespace} {pod} --all-containers"
            )
        }
        error if is_missing(error) => {
            format!("pod {namespace}/{pod} has been deleted together with its log")
        }
        error => describe(error),
    }
}
