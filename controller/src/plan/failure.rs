//! Classifies failed runs: maps the reasons of Tekton and of the tasks to [`Reason`].
//!
//! Tekton's reasons are those of `pkg/apis/pipeline/v1` (PipelineRunReason, TaskRunReason) as of v1.15. A task is not trusted:
//! it can only report the reasons that its contract lists, and its messages are truncated and escaped.

use cnbi_shared::contract::{ConditionType, Pipeline, Reason, ReportedIn, Task, results, tasks};
use cnbi_shared::verdict::printable;

use super::observed::{Run, RunState, TaskRun};

/// Limit of messages of tasks and of Tekton, in characters.
const MESSAGE_LIMIT: usize = 500;

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildFailure {
    /// The reason.
    pub reason: Reason,
    /// The condition that reports it.
    pub condition: ConditionType,
    /// The task that failed, if one did.
    pub task: Option<&'static Task>,
    /// Message for the user.
    pub message: String,
}

/// Classifies a failed run.
pub fn classify(pipeline: &Pipeline, run: &Run) -> BuildFailure {
    let failed = failed_task(pipeline, run);
    let of_run = match run.reason.as_str() {
        "Cancelled" | "PipelineRunCouldntCancel" | "CancelledRunningFinally" | "StoppedRunningFinally" => {
            Some(Reason::Cancelled)
        }
        "PipelineRunTimeout" | "PipelineRunCouldntTimeOut" => Some(Reason::TimedOut),
        "CouldntGetPipeline" | "CouldntGetTask" | "CreateRunFailed" => Some(Reason::PipelineNotInstalled),
        _ if failed.is_none() => Some(Reason::PipelineInvalid),
        _ => None,
    };
    let Some(reason) = of_run else {
        return task_failure(pipeline, run, failed);
    };
    let details = if run.message.is_empty() {
        String::new()
    } else {
        format!(": {}", printable(&run.message, MESSAGE_LIMIT))
    };
    BuildFailure {
        reason,
        condition: condition(pipeline, reason, failed.map(|(task, _)| task)),
        task: failed.map(|(task, _)| task),
        message: format!(
            "The PipelineRun failed with reason {}{details}. {}",
            printable(&run.reason, 64),
            reason.remedy()
        ),
    }
}

/// A failure that the controller has detected itself.
pub fn detected(pipeline: &Pipeline, reason: Reason, message: &str) -> BuildFailure {
    BuildFailure {
        reason,
        condition: condition(pipeline, reason, None),
        task: None,
        message: format!("{message}. {}", reason.remedy()),
    }
}

fn task_failure(pipeline: &Pipeline, run: &Run, failed: Option<(&'static Task, &TaskRun)>) -> BuildFailure {
    let Some((task, task_run)) = failed else {
        return detected(
            pipeline,
            Reason::PipelineInvalid,
            "The PipelineRun failed, but none of its tasks did",
        );
    };
    let given = || {
        let name = task_run.results.get(results::REASON)?;
        Reason::by_name(name.trim()).filter(|reason| task.reasons.contains(reason))
    };
    let reason = match task_run.reason.as_str() {
        "TaskRunImagePullFailed" => Reason::StepImagePullFailed,
        "PodEvicted" => Reason::Evicted,
        "StepOOM" => Reason::OutOfMemory,
        "TaskRunTimeout" => Reason::TimedOut,
        "TaskRunCancelled" => Reason::Cancelled,
        "PodCreationFailed" if task_run.message.contains("serviceaccounts \"") => Reason::BuildAccountMissing,
        _ => given().unwrap_or(task.default_reason),
    };
    let reported = task_run.results.get(results::MESSAGE).map(|message| message.trim());
    let mut message = if let Some(reported) = reported.filter(|reported| !reported.is_empty()) {
        format!("Task {}: {}", task.name, printable(reported, MESSAGE_LIMIT))
    } else {
        let why = match container_start_hint(task, task_run) {
            "" if task_run.message.is_empty() => String::new(),
            "" => format!(": {}", printable(&task_run.message, MESSAGE_LIMIT)),
            known => known.to_owned(),
        };
        format!("Task {} failed ({}){why}", task.name, printable(&task_run.reason, 64))
    };
    if let Some(step) = &task_run.failed_step {
        message = format!("{message}, in step {}", printable(step, 64));
    }
    message = format!("{message}. {}", reason.remedy());
    if let (Reason::BuildFailed | Reason::ImageInvalid | Reason::OutOfMemory, Some(pod)) = (reason, &task_run.pod) {
        let step = task_run.failed_step.as_deref();
        let container = step.map_or_else(
            || "--all-containers".to_owned(),
            |step| format!("-c step-{}", printable(step, 64)),
        );
        message = format!(
            "{message}: kubectl logs -n {} {} {container}",
            run.namespace,
            printable(pod, 253)
        );
    }
    BuildFailure {
        reason,
        condition: condition(pipeline, reason, Some(task)),
        task: Some(task),
        message,
    }
}

/// The likely cause if the kubelet cannot start the image that is validated: Tekton reports only that it did not start.
fn container_start_hint(task: &Task, task_run: &TaskRun) -> &'static str {
    if task.name == tasks::VALIDATE && task_run.reason == "CreateContainerConfigError" {
        ": the kubelet cannot start the image, probably because its user is root, or has a name instead of a number"
    } else {
        ""
    }
}

/// The first failed task in the order of the pipeline; cancelled tasks only if there is no other.
fn failed_task<'a>(pipeline: &Pipeline, run: &'a Run) -> Option<(&'static Task, &'a TaskRun)> {
    let failed = || {
        pipeline.all_tasks().filter_map(|task| {
            let task_run = run.tasks.iter().find(|task_run| task_run.task == task.name)?;
            (task_run.state == RunState::Failed).then_some((task, task_run))
        })
    };
    failed()
        .find(|(_, task_run)| task_run.reason != "TaskRunCancelled")
        .or_else(|| failed().next())
}

fn condition(pipeline: &Pipeline, reason: Reason, task: Option<&Task>) -> ConditionType {
    let of_pipeline = || {
        if ConditionType::ImageBuilt.applies_to(pipeline.build_type, false) {
            ConditionType::ImageBuilt
        } else {
            ConditionType::ImageValidated
        }
    };
    match reason.reported_in() {
        ReportedIn::Condition(condition) => condition,
        ReportedIn::TaskCondition => task.map_or_else(of_pipeline, |task| task.condition),
    }
}

#[cfg(test)]
mod tests {
    use cnbi_shared::contract::IMPORT;

    use super::*;
    use std::collections::BTreeMap;

    fn unstarted_message(task: &str, reason: &str) -> String {
        let task = IMPORT.task(task).unwrap();
        let task_run = TaskRun {
            task: task.name.to_owned(),
            state: RunState::Failed,
            reason: reason.to_owned(),
            message: String::new(),
            pod: None,
            failed_step: None,
            results: BTreeMap::new(),
        };
        container_start_hint(task, &task_run).to_owned()
    }

    #[test]
    fn an_image_that_cannot_start_has_a_hint() {
        assert!(unstarted_message("validate", "CreateContainerConfigError").contains("its user is root"));
        // The other tasks run images of this project, which have numeric users.
        assert_eq!(unstarted_message("setup", "CreateContainerConfigError"), "");
        assert_eq!(unstarted_message("validate", "StepFailed"), "");
    }
}
