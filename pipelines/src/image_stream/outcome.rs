//! The outcome of a run, from its TaskRuns. No I/O.
//!
//! Results of untrusted tasks are parsed, limited and serialized again.

use cnbi_shared::config::Network;
use cnbi_shared::contract::{PIPELINES, Pipeline, Reason, results, tasks};
use cnbi_shared::grammar::image::ImageReference;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::StepError;
use crate::report;

/// Maximum number of entries in a list of software.
const MAX_ENTRIES: usize = 50;
/// Maximum length of a name or version, in characters.
const MAX_TEXT: usize = 100;

/// Outcome of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not finished.
    Running,
    /// All tasks succeeded.
    Succeeded(Image),
    /// A task failed: message for users.
    Failed(String),
}

/// The image that a run produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Reference with digest.
    pub reference: String,
    /// Digest.
    pub digest: String,
    /// The registry is listed in `network.insecureRegistries`.
    pub is_insecure: bool,
    /// JSON list of software.
    pub software: String,
    /// JSON list of Python packages.
    pub dependencies: String,
}

/// A task of a run.
#[derive(Clone, Debug)]
pub struct TaskRun {
    /// Name in the pipeline.
    pub task: String,
    /// TaskRun.
    pub task_run: Value,
}

impl TaskRun {
    fn result(&self, name: &str) -> Option<&str> {
        let results = self.task_run["status"]["results"].as_array()?;
        results.iter().find(|result| result["name"] == name)?["value"].as_str()
    }

    /// Status of the condition `Succeeded`.
    fn succeeded(&self) -> Option<&str> {
        let conditions = self.task_run["status"]["conditions"].as_array()?;
        conditions.iter().find(|condition| condition["type"] == "Succeeded")?["status"].as_str()
    }
}

/// The pipeline of a run.
pub fn pipeline(run: &Value) -> Result<&'static Pipeline, StepError> {
    let name = run["spec"]["pipelineRef"]["name"].as_str();
    PIPELINES
        .into_iter()
        .find(|pipeline| Some(pipeline.name) == name)
        .ok_or_else(|| StepError::usage("The run does not belong to a pipeline of this version of CNBi"))
}

/// Whether a run was cancelled.
pub fn is_cancelled(run: &Value) -> bool {
    let asked = run["spec"]["status"].as_str();
    matches!(asked, Some("Cancelled" | "CancelledRunFinally"))
}

/// Name of the task and of the TaskRun, for each task of a run.
pub fn task_run_names(run: &Value) -> Vec<(String, String)> {
    let task_runs = run["status"]["childReferences"].as_array().into_iter().flatten();
    let pairs = task_runs.filter_map(|child| {
        let text = |key: &str| child[key].as_str().map(str::to_owned);
        Some((text("pipelineTaskName")?, text("name")?))
    });
    // More than the tasks of any pipeline.
    pairs.take(32).collect()
}

/// The uid of the ImageStream that the first task of this run wrote, if it reported one.
pub fn stream_uid(task_runs: &[TaskRun]) -> Option<&str> {
    find(task_runs, tasks::CREATE_IMAGE_STREAM)?
        .result(results::STREAM_UID)
        .filter(|uid| !uid.is_empty())
}

/// The outcome of the tasks before `finally`.
pub fn read(pipeline: &Pipeline, task_runs: &[TaskRun], network: &Network) -> Outcome {
    for task in pipeline.tasks {
        let Some(child) = find(task_runs, task.name) else {
            return Outcome::Failed(format!("Task {} did not run", task.name));
        };
        if child.succeeded() != Some("True") {
            let reason = child
                .result(results::REASON)
                .and_then(|name| Reason::by_name(name.trim()));
            let reason = reason
                .filter(|reason| task.reasons.contains(reason))
                .unwrap_or(task.default_reason);
            let message = report::message(child.result(results::MESSAGE).unwrap_or_default());
            let message = if message.is_empty() {
                "no message; see its log"
            } else {
                &message
            };
            return Outcome::Failed(format!("{reason} in task {}: {message}", task.name));
        }
    }
    image(task_runs, network).map_or_else(
        || Outcome::Failed("No task reported the digest of the image".to_owned()),
        Outcome::Succeeded,
    )
}

fn find<'a>(task_runs: &'a [TaskRun], task: &str) -> Option<&'a TaskRun> {
    task_runs.iter().find(|child| child.task == task)
}

fn image(task_runs: &[TaskRun], network: &Network) -> Option<Image> {
    let source = find(task_runs, tasks::PUSH).or_else(|| find(task_runs, tasks::SETUP))?;
    let reference = ImageReference::parse(source.result(results::REFERENCE)?.trim()).ok()?;
    let digest = reference.digest()?.to_owned();
    if source.result(results::DIGEST)?.trim() != digest {
        return None;
    }
    let validate = find(task_runs, tasks::VALIDATE);
    let list = |name| software(validate.and_then(|child| child.result(name)).unwrap_or_default());
    Some(Image {
        reference: reference.as_str().to_owned(),
        digest,
        is_insecure: network.is_insecure(&reference),
        software: list(results::SOFTWARE),
        dependencies: list(results::PYTHON_DEPENDENCIES),
    })
}

/// An entry of a list of software, in the format of Open Data Hub.
#[derive(Debug, Deserialize, Serialize)]
struct Software {
    name: String,
    version: String,
}

/// Serializes a list again with only names and versions. Empty if it cannot be parsed.
fn software(text: &str) -> String {
    let list: Vec<Software> = serde_json::from_str(text).unwrap_or_default();
    let is_plain = |text: &String| !text.chars().any(char::is_control) && text.chars().count() <= MAX_TEXT;
    let list: Vec<_> = list
        .into_iter()
        .filter(|entry| is_plain(&entry.name) && is_plain(&entry.version) && !entry.name.is_empty())
        .take(MAX_ENTRIES)
        .collect();
    serde_json::to_string(&list).unwrap_or_else(|_| "[]".to_owned())
}
