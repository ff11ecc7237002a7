//! The status that Tekton writes to a PipelineRun, computed from the states of its tasks. No I/O.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::scenario::{Results, Tasks};

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    Skipped,
}

/// A task of the run.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) name: String,
    pub(super) is_final: bool,
    pub(super) state: State,
    /// The name of its TaskRun, once created.
    pub(super) child: Option<String>,
}

/// Everything the status of a run is computed from.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) tasks: Vec<Task>,
    started: Option<Timestamp>,
    finally: Option<Timestamp>,
    completed: Option<Timestamp>,
    /// The status of the condition and its last transition.
    decided: Option<(&'static str, Timestamp)>,
}

impl Progress {
    pub(super) fn new(tasks: &Tasks) -> Self {
        let waiting = |names: &[String], is_final| -> Vec<Task> {
            let task = |name: &String| Task {
                name: name.clone(),
                is_final,
                state: State::Waiting,
                child: None,
            };
            names.iter().map(task).collect()
        };
        let mut all = waiting(&tasks.main, false);
        all.extend(waiting(&tasks.finally, true));
        Self {
            tasks: all,
            started: None,
            finally: None,
            completed: None,
            decided: None,
        }
    }

    pub(super) fn task(&mut self, name: &str) -> Option<&mut Task> {
        self.tasks.iter_mut().find(|task| task.name == name)
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| task.state == State::Running)
    }

    /// Whether the run has started.
    pub(super) fn is_started(&self) -> bool {
        self.started.is_some()
    }

    /// Starts the run.
    pub(super) fn start(&mut self, now: Timestamp) {
        self.started.get_or_insert(now);
    }

    /// Starts the `finally` tasks.
    pub(super) fn start_finally(&mut self, now: Timestamp) {
        self.skip_main();
        self.finally.get_or_insert(now);
    }

    /// Skips the remaining tasks after a failure.
    pub(super) fn skip_main(&mut self) {
        self.skip(|task| !task.is_final);
    }

    fn skip(&mut self, which: impl Fn(&Task) -> bool) {
        for task in &mut self.tasks {
            if task.state == State::Waiting && which(task) {
                task.state = State::Skipped;
            }
        }
    }

    /// The status while tasks run.
    pub(super) fn status_running(&mut self, now: Timestamp) -> Value {
        let (done, failed, cancelled, skipped) = self.counts();
        let incomplete = self.tasks.len() - done - skipped;
        let message = format!(
            "Tasks Completed: {done} (Failed: {failed}, Cancelled {cancelled}), Incomplete: {incomplete}, Skipped: {skipped}"
        );
        let reason = if failed > 0 && !self.tasks.iter().any(|task| task.is_final && is_open(task)) {
            "PipelineRunStopping"
        } else {
            "Running"
        };
        self.status("Unknown", reason, &message, now)
    }

    /// The status of a run that has just started.
    pub(super) fn status_started(&mut self, now: Timestamp) -> Value {
        self.start(now);
        self.status("Unknown", "Started", "", now)
    }

    /// The status after the last task.
    pub(super) fn status_ended(&mut self, results: &Results, now: Timestamp) -> Value {
        self.skip(|_| true);
        let (done, failed, cancelled, skipped) = self.counts();
        let message = format!("Tasks Completed: {done} (Failed: {failed}, Cancelled {cancelled}), Skipped: {skipped}");
        let (status, reason) = match (failed, cancelled, skipped) {
            (0, 0, 0) => ("True", "Succeeded"),
            (0, 0, _) => ("True", "Completed"),
            (0, ..) => ("False", "Cancelled"),
            _ => ("False", "Failed"),
        };
        self.completed = Some(now);
        let mut new_status = self.status(status, reason, &message, now);
        if status == "True" && !results.is_empty() {
            let result = |(name, value): &(String, String)| json!({"name": name, "value": value});
            new_status["results"] = results.iter().map(result).collect();
        }
        new_status
    }

    /// The status of a run that ends before its tasks do: cancelled, timed out or invalid.
    pub(super) fn status_aborted(&mut self, reason: &str, message: &str, now: Timestamp) -> Value {
        self.start(now);
        self.completed = Some(now);
        self.status("False", reason, message, now)
    }

    /// The numbers of completed (including failed and cancelled), failed, cancelled and skipped tasks.
    fn counts(&self) -> (usize, usize, usize, usize) {
        let count = |state| self.tasks.iter().filter(|task| task.state == state).count();
        let (failed, cancelled) = (count(State::Failed), count(State::Cancelled));
        let done = count(State::Succeeded) + failed + cancelled;
        (done, failed, cancelled, count(State::Skipped))
    }

    fn status(&mut self, status: &'static str, reason: &str, message: &str, now: Timestamp) -> Value {
        let since = match self.decided {
            Some((before, since)) if before == status => since,
            _ => now,
        };
        self.decided = Some((status, since));
        let reference = |task: &Task| {
            let name = task.child.as_ref()?;
            Some(json!({
                "apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": name, "pipelineTaskName": task.name,
            }))
        };
        let skipped = |task: &Task| {
            (task.state == State::Skipped).then(|| json!({"name": task.name, "reason": "PipelineRun was stopping"}))
        };
        let spec = |task: &Task| json!({"name": task.name, "taskRef": {"kind": "Task", "name": task.name}});
        let specs = |is_final| -> Vec<Value> {
            self.tasks
                .iter()
                .filter(|task| task.is_final == is_final)
                .map(spec)
                .collect()
        };
        let children: Vec<Value> = self.tasks.iter().filter_map(reference).collect();
        let skipped: Vec<Value> = self.tasks.iter().filter_map(skipped).collect();
        let mut new_status = json!({"conditions": [condition(status, reason, message, since)]});
        for (field, at) in [
            ("startTime", self.started),
            ("finallyStartTime", self.finally),
            ("completionTime", self.completed),
        ] {
            if let Some(at) = at {
                new_status[field] = time(at);
            }
        }
        for (field, list) in [("childReferences", children), ("skippedTasks", skipped)] {
            if !list.is_empty() {
                new_status[field] = list.into();
            }
        }
        if !self.tasks.is_empty() {
            new_status["pipelineSpec"] = json!({"tasks": specs(false)});
            let finally = specs(true);
            if !finally.is_empty() {
                new_status["pipelineSpec"]["finally"] = finally.into();
            }
        }
        new_status
    }
}

fn is_open(task: &Task) -> bool {
    matches!(task.state, State::Waiting | State::Running)
}

/// The condition `Succeeded`.
pub(super) fn condition(status: &str, reason: &str, message: &str, since: Timestamp) -> Value {
    json!({
        "type": "Succeeded", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": time(since),
    })
}

/// A time in the API's format, in whole seconds.
pub(super) fn time(at: Timestamp) -> Value {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()
}
