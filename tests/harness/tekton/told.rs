//! What Tekton tells of a run while it goes on: the status of a PipelineRun, from what became of its tasks. No I/O.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::script::{Results, Tasks};

/// How far a task has come.
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
    /// The name of its TaskRun, once there is one.
    pub(super) child: Option<String>,
}

/// All that the status of a run is made of.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) tasks: Vec<Task>,
    started: Option<Timestamp>,
    finally: Option<Timestamp>,
    completed: Option<Timestamp>,
    /// Status and reason, and since when the status is what it is.
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

    /// Whether Tekton has taken the run up.
    pub(super) fn is_started(&self) -> bool {
        self.started.is_some()
    }

    /// The run is taken up.
    pub(super) fn start(&mut self, now: Timestamp) {
        self.started.get_or_insert(now);
    }

    /// A final task begins.
    pub(super) fn start_finally(&mut self, now: Timestamp) {
        self.skip_main();
        self.finally.get_or_insert(now);
    }

    /// Tasks that will not begin any more, because one before them failed.
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

    /// What is told while tasks run.
    pub(super) fn under_way(&mut self, now: Timestamp) -> Value {
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

    /// What is told when the run is taken up.
    pub(super) fn taken_up(&mut self, now: Timestamp) -> Value {
        self.start(now);
        self.status("Unknown", "Started", "", now)
    }

    /// What is told when nothing runs any more.
    pub(super) fn ended(&mut self, results: &Results, now: Timestamp) -> Value {
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
        let mut told = self.status(status, reason, &message, now);
        if status == "True" && !results.is_empty() {
            let result = |(name, value): &(String, String)| json!({"name": name, "value": value});
            told["results"] = results.iter().map(result).collect();
        }
        told
    }

    /// What is told when the run ends for a reason of its own, whatever its tasks do.
    pub(super) fn broken_off(&mut self, reason: &str, message: &str, now: Timestamp) -> Value {
        self.start(now);
        self.completed = Some(now);
        self.status("False", reason, message, now)
    }

    /// How many tasks are complete, failed among them, cancelled among them, and skipped.
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
        let mut told = json!({"conditions": [condition(status, reason, message, since)]});
        for (field, at) in [
            ("startTime", self.started),
            ("finallyStartTime", self.finally),
            ("completionTime", self.completed),
        ] {
            if let Some(at) = at {
                told[field] = time(at);
            }
        }
        for (field, list) in [("childReferences", children), ("skippedTasks", skipped)] {
            if !list.is_empty() {
                told[field] = list.into();
            }
        }
        if !self.tasks.is_empty() {
            told["pipelineSpec"] = json!({"tasks": specs(false)});
            let finally = specs(true);
            if !finally.is_empty() {
                told["pipelineSpec"]["finally"] = finally.into();
            }
        }
        told
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

/// A time as the API server keeps it: whole seconds.
pub(super) fn time(at: Timestamp) -> Value {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()
}
