//! What is kept of a TaskRun.

use cnbi_shared::contract::results;
use serde_json::Value;

use super::{Kind, results as read_results, succeeded, text};
use crate::plan::action::Place;
use crate::plan::by_name::ByName;
use crate::plan::manifest::UID;
use crate::plan::observed::{self, Outcome};

/// A TaskRun of one of our runs.
#[derive(Clone, Debug, Default)]
pub struct TaskRun {
    /// The uid of the resource that its run was made for: Tekton hands a run's labels on.
    pub of: Option<String>,
    /// Name of its run.
    pub run: Option<String>,
    /// What plans look at.
    pub task: observed::TaskRun,
}

impl Kind for TaskRun {
    const GROUP: &'static str = "tekton.dev";
    const KIND: &'static str = "TaskRun";
    const PLURAL: &'static str = "taskruns";
    const SELECTOR: &'static str = UID;

    fn read(object: &Value) -> Self {
        let (labels, status) = (&object["metadata"]["labels"], &object["status"]);
        let (outcome, reason, message) = succeeded(status);
        let has_failed = outcome == Outcome::False;
        let mut steps = status["steps"].as_array().into_iter().flatten();
        let failed = steps.find(|step| step["terminated"]["exitCode"].as_i64().is_some_and(|code| code != 0));
        Self {
            of: text(&labels[UID]),
            run: text(&labels["tekton.dev/pipelineRun"]),
            task: observed::TaskRun {
                task: text(&labels["tekton.dev/pipelineTask"]).unwrap_or_default(),
                outcome,
                // What is said of a step that ended with an error is that it did; the results say more.
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
                    ByName::default()
                },
            },
        }
    }

    fn group(&self, _: &Place) -> Option<String> {
        self.of.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failure_is_read_with_its_step_and_what_the_task_said() {
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
        let read = TaskRun::read(&object);
        let task = &read.task;
        assert_eq!(
            (read.of.as_deref(), read.run.as_deref(), task.task.as_str()),
            (Some("u"), Some("r"), "setup")
        );
        assert_eq!(
            (task.pod.as_deref(), task.failed_step.as_deref()),
            (Some("p"), Some("two"))
        );
        assert_eq!(task.results.names().collect::<Vec<_>>(), ["reason"]);
        assert_eq!(task.reason, "StepFailed");
    }
}
