//! What is known of a run beside the status: its TaskRuns, and what their steps wrote.
//!
//! People may have no right to read these; that is told and hides nothing of the status.

use futures::AsyncReadExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, LogParams};
use serde_json::Value;

use super::connection::{is_missing, words};
use super::terminal::safe_line;
use kube::Client;

/// Most bytes of a log's end that are read.
const TAIL_BYTES: i64 = 64 * 1024;

/// How a task or a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has not begun.
    Waiting,
    /// It runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed,
}

/// What is told of a TaskRun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRun {
    /// The task's name in its pipeline.
    pub task: String,
    /// How it stands.
    pub state: State,
    /// Tekton's reason for that.
    pub reason: String,
    /// When it began.
    pub start: Option<Timestamp>,
    /// When it ended.
    pub end: Option<Timestamp>,
    /// Its pod, once there is one.
    pub pod: Option<String>,
    /// Its steps, in order.
    pub steps: Vec<Step>,
}

/// What is told of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Its container.
    pub container: String,
    /// How it stands.
    pub state: State,
    /// The exit code, once it has ended.
    pub exit_code: Option<i64>,
}

impl TaskRun {
    /// Reads a TaskRun; what is missing in it is left out.
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

    /// The first step that ended badly.
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

/// TaskRuns of a namespace.
pub fn task_runs(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("tekton.dev", "v1", "TaskRun");
    let kind = ApiResource::from_gvk_with_plural(&kind, "taskruns");
    Api::namespaced_with(client.clone(), namespace, &kind)
}

/// The TaskRuns of a run, in the order in which they began. `Err` says in words why they cannot be seen.
pub async fn of_run(client: &Client, namespace: &str, run: &str) -> Result<Vec<TaskRun>, String> {
    let params = ListParams::default().labels(&format!("tekton.dev/pipelineRun={run}"));
    let list = task_runs(client, namespace)
        .list(&params)
        .await
        .map_err(|error| match &error {
            kube::Error::Api(status) if status.code == 403 => {
                format!("you may not read TaskRuns in {namespace}")
            }
            error if is_missing(error) => "Tekton is not installed on this cluster".to_owned(),
            error => words(error),
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

/// The last lines that a container wrote, safe to print. `Err` says in words why there are none.
pub async fn end_of_log(
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
        .map_err(|error| unread(&error, namespace, pod))?;
    let mut bytes = Vec::new();
    let mut stream = std::pin::pin!(stream);
    // What breaks off has been read until there.
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8_lossy(&bytes);
    let mut shown: Vec<String> = text.lines().map(safe_line).filter(|line| !line.is_empty()).collect();
    if shown.len() > lines {
        shown.drain(..shown.len() - lines);
    }
    Ok(shown)
}

/// Why a log cannot be read.
pub fn unread(error: &kube::Error, namespace: &str, pod: &str) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            format!(
                "you may not read logs in {namespace}; whoever may: kubectl logs -n {namespace} {pod} --all-containers"
            )
        }
        error if is_missing(error) => {
            format!("pod {namespace}/{pod} is gone, and its log with it: pods of runs that have ended may be deleted")
        }
        error => words(error),
    }
}
