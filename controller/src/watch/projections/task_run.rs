//! Projection of a TaskRun.

use std::collections::BTreeMap;

use cnbi_shared::contract::results;
use serde_json::Value;

use super::{ProjectedKind, results as read_results, succeeded_condition, text};
use crate::plan::action::NamespacedName;
use crate::plan::manifest::UID;
use crate::plan::observed::{self, RunState};

/// A TaskRun that carries the label [`UID`], which Tekton copies from its PipelineRun.
#[derive(Clone, Debug, Default)]
pub struct TaskRun {
    /// The uid of the resource that its run builds.
    pub owner_uid: Option<String>,
    /// Name of its PipelineRun.
    pub run: Option<String>,
    /// What plans read.
    pub task: observed::TaskRun,
}

impl ProjectedKind for TaskRun {
    const GROUP: &'static str = "tekton.dev";
    const KIND: &'static str = "TaskRun";
    const PLURAL: &'static str = "taskruns";
    const SELECTOR: &'static str = UID;

    fn project(object: &Value) -> Self {
        let (labels, status) = (&object["metadata"]["labels"], &object["status"]);
        let (state, reason, message) = succeeded_condition(status);
        let has_failed = state == RunState::Failed;
        let mut steps = status["steps"].as_array().into_iter().flatten();
        let failed = steps.find(|step| step["terminated"]["exitCode"].as_i64().is_some_and(|code| code != 0));
        Self {
            owner_uid: text(&labels[UID]),
            run: text(&labels["tekton.dev/pipelineRun"]),
            task: observed::TaskRun {
                task: text(&labels["tekton.dev/pipelineTask"]).unwrap_or_default(),
                state,
                // For StepFailed, Tekton's message only repeats the exit code; the results contain the cause.
                message: if has_failed && reason != "StepFailed" {
                    message
                } else {
                    String::new()
                },
                reason: if has_failed { reason } else { String::new() },
                pod: text(&status["podName"]).filter(|pod| has_failed && !pod.is_empty()),
                failed_step: failed.filter(|_| has_failed).and_then(|step| text(&step["name"])),
                results: if has_failed {
                    read_results(&status["results"], &[results::REASON, results::MESSAGE])
                } else {
                    BTreeMap::new()
                },
            },
        }
    }

    fn index_key(&self, _: &NamespacedName) -> Option<String> {
        self.owner_uid.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failed_task_keeps_its_step_and_its_results() {
        let object = json!({
            "metadata": {"labels": {"meteor.zone/uid": "u", "tekton.dev/pipelineRun": "r", "tekton.dev/pipelineTask": "setup"}},
            "status": {
                "podName": "p",
                "conditions": [{"type": "Succeeded", "status": "False", "reason": "StepFailed", "message": "m"}],
                "steps": [
                    {"name": "one", "terminated": {"exitCode": 0}},
                    {"name": "two", "terminated": {"exitCode": 3}},
                ],
                "results": [
                    {"name": "reason", "value": "ImageInvalid"}, {"name": "digest", "value": "x"},
                    {"name": "message", "value": ["not a text"]},
                ],
            },
        });
        let task_run = TaskRun::project(&object);
        let task = &task_run.task;
        assert_eq!(
            (
                task_run.owner_uid.as_deref(),
                task_run.run.as_deref(),
                task.task.as_str()
            ),
            (Some("u"), Some("r"), "setup")
        );
        assert_eq!(
            (task.pod.as_deref(), task.failed_step.as_deref()),
            (Some("p"), Some("two"))
        );
        assert_eq!(task.results.keys().collect::<Vec<_>>(), ["reason"]);
        assert_eq!(task.reason, "StepFailed");
    }
}
