//! What has come of a run so far, read from the run and its tasks. Pure.
//!
//! What untrusted tasks report is a user's to choose, so all of it is parsed, bounded and written anew.

use cnbi_shared::config::Network;
use cnbi_shared::contract::{PIPELINES, Pipeline, Reason, results, tasks};
use cnbi_shared::grammar::image::ImageReference;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::Failure;
use crate::report;

/// Most entries of a list of software.
const ENTRIES: usize = 50;
/// Most characters of a name or version in it.
const TEXT: usize = 100;

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Under way.
    Running,
    /// All tasks succeeded.
    Succeeded(Image),
    /// One failed: why, for people.
    Failed(String),
}

/// The image that a run has led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its reference, by digest.
    pub reference: String,
    /// The digest.
    pub digest: String,
    /// The registry is listed in `network.insecureRegistries`.
    pub is_insecure: bool,
    /// JSON list of software in it.
    pub software: String,
    /// JSON list of Python packages in it.
    pub dependencies: String,
}

/// One task of a run.
#[derive(Clone, Debug)]
pub struct Child {
    /// Its name in the pipeline.
    pub task: String,
    /// Its TaskRun.
    pub task_run: Value,
}

impl Child {
    fn result(&self, name: &str) -> Option<&str> {
        let results = self.task_run["status"]["results"].as_array()?;
        results.iter().find(|result| result["name"] == name)?["value"].as_str()
    }

    /// Status of its condition `Succeeded`.
    fn succeeded(&self) -> Option<&str> {
        let conditions = self.task_run["status"]["conditions"].as_array()?;
        conditions.iter().find(|condition| condition["type"] == "Succeeded")?["status"].as_str()
    }
}

/// The pipeline that a run is of.
pub fn pipeline(run: &Value) -> Result<&'static Pipeline, Failure> {
    let name = run["spec"]["pipelineRef"]["name"].as_str();
    PIPELINES
        .into_iter()
        .find(|pipeline| Some(pipeline.name) == name)
        .ok_or_else(|| Failure::usage("The run is of no pipeline of this version of CNBi"))
}

/// Whether somebody has ended the run, with all tasks that are under way.
pub fn is_cancelled(run: &Value) -> bool {
    let asked = run["spec"]["status"].as_str();
    matches!(asked, Some("Cancelled" | "CancelledRunFinally"))
}

/// Task and name of each TaskRun of a run.
pub fn children(run: &Value) -> Vec<(String, String)> {
    let children = run["status"]["childReferences"].as_array().into_iter().flatten();
    let pairs = children.filter_map(|child| {
        let text = |key: &str| child[key].as_str().map(str::to_owned);
        Some((text("pipelineTaskName")?, text("name")?))
    });
    // A run has as many as its pipeline has tasks.
    pairs.take(32).collect()
}

/// The uid of the stream that this run's first task wrote, where it said so.
pub fn stream_uid(children: &[Child]) -> Option<&str> {
    find(children, tasks::CREATE_IMAGE_STREAM)?
        .result(results::STREAM_UID)
        .filter(|uid| !uid.is_empty())
}

/// The outcome of the tasks before `finally`.
pub fn read(pipeline: &Pipeline, children: &[Child], network: &Network) -> Outcome {
    for task in pipeline.tasks {
        let Some(child) = find(children, task.name) else {
            return Outcome::Failed(format!("Task {} did not run", task.name));
        };
        if child.succeeded() != Some("True") {
            let reason = child
                .result(results::REASON)
                .and_then(|name| Reason::by_name(name.trim()));
            let reason = reason
                .filter(|reason| task.reasons.contains(reason))
                .unwrap_or(task.default);
            let said = report::message(child.result(results::MESSAGE).unwrap_or_default());
            let said = if said.is_empty() { "it failed" } else { &said };
            return Outcome::Failed(format!("{reason} in task {}: {said}", task.name));
        }
    }
    image(children, network).map_or_else(
        || Outcome::Failed("No task told the digest of the image".to_owned()),
        Outcome::Succeeded,
    )
}

fn find<'a>(children: &'a [Child], task: &str) -> Option<&'a Child> {
    children.iter().find(|child| child.task == task)
}

fn image(children: &[Child], network: &Network) -> Option<Image> {
    let source = find(children, tasks::PUSH).or_else(|| find(children, tasks::SETUP))?;
    let reference = ImageReference::parse(source.result(results::REFERENCE)?.trim()).ok()?;
    let digest = reference.digest()?.to_owned();
    if source.result(results::DIGEST)?.trim() != digest {
        return None;
    }
    let validate = find(children, tasks::VALIDATE);
    let list = |name| software(validate.and_then(|child| child.result(name)).unwrap_or_default());
    Some(Image {
        reference: reference.as_str().to_owned(),
        digest,
        is_insecure: network.is_insecure(&reference),
        software: list(results::SOFTWARE),
        dependencies: list(results::PYTHON_DEPENDENCIES),
    })
}

/// An entry of a list of software, as ODH has it.
#[derive(Debug, Deserialize, Serialize)]
struct Software {
    name: String,
    version: String,
}

/// The list written anew, with nothing but names and versions; an empty one where it cannot be read.
fn software(text: &str) -> String {
    let list: Vec<Software> = serde_json::from_str(text).unwrap_or_default();
    let is_plain = |text: &String| !text.chars().any(char::is_control) && text.chars().count() <= TEXT;
    let list: Vec<_> = list
        .into_iter()
        .filter(|entry| is_plain(&entry.name) && is_plain(&entry.version) && !entry.name.is_empty())
        .take(ENTRIES)
        .collect();
    serde_json::to_string(&list).unwrap_or_else(|_| "[]".to_owned())
}
