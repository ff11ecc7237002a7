//! What happens to a simulated run, as data: its tasks and a sequence of actions. A scenario fits any run.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

/// The tasks of a Pipeline, each of which starts when the one before it has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tasks {
    pub(super) main: Vec<String>,
    pub(super) finally: Vec<String>,
}

impl Tasks {
    /// Tasks by their names in the Pipeline. `finally` tasks run even if others fail.
    pub fn new(main: &[&str], finally: &[&str]) -> Self {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            main: owned(main),
            finally: owned(finally),
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        self.main.iter().chain(&self.finally)
    }
}

/// Names and values of results.
pub type Results = Vec<(String, String)>;

/// One step of a scenario: one write to the status of the run, and one or two to that of a TaskRun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The run starts: condition `Unknown`, reason `Started`.
    Start,
    /// The run fails before any task: condition `False`, with this reason and message.
    Refuse(String, String),
    /// A TaskRun is created and its steps run.
    Begin(String),
    /// A task succeeds.
    Succeed(String),
    /// A task fails.
    Fail(String, TaskFailure),
    /// Nothing happens until the run is cancelled or deleted.
    Hold,
    /// The run's timeout expires and running tasks are stopped.
    TimeOut,
    /// The run ends; its condition follows from its tasks.
    End,
}

/// Why a task fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFailure {
    pub(super) cause: Cause,
    pub(super) results: Results,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Exit { step: String, code: i32 },
    OutOfMemory { step: String },
    ImagePull { step: String, image: String },
    Evicted { message: String },
    TimedOut,
}

impl TaskFailure {
    /// A step exits with 1 and reports the task results `reason` and `message`: reason `StepFailed`.
    pub fn reported(step: &str, reason: &str, message: &str) -> Self {
        Self::exit(step, 1)
            .with_result("reason", reason)
            .with_result("message", message)
    }

    /// A step exits with this code and reports nothing: reason `StepFailed`.
    pub fn exit(step: &str, code: i32) -> Self {
        let step = step.to_owned();
        Self::from(Cause::Exit { step, code })
    }

    /// A step is killed because it exceeds its memory limit: reason `StepOOM`.
    pub fn out_of_memory(step: &str) -> Self {
        let step = step.to_owned();
        Self::from(Cause::OutOfMemory { step })
    }

    /// The image of a step cannot be pulled: reason `TaskRunImagePullFailed`.
    pub fn image_pull(step: &str, image: &str) -> Self {
        let (step, image) = (step.to_owned(), image.to_owned());
        Self::from(Cause::ImagePull { step, image })
    }

    /// The pod is evicted, with the kubelet's message: reason `PodEvicted`.
    pub fn evicted(message: &str) -> Self {
        let message = message.to_owned();
        Self::from(Cause::Evicted { message })
    }

    /// The task's timeout expires: reason `TaskRunTimeout`.
    pub fn timed_out() -> Self {
        Self::from(Cause::TimedOut)
    }

    /// Adds a result that the task wrote before it failed.
    #[must_use]
    pub fn with_result(mut self, name: &str, value: &str) -> Self {
        self.results.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl From<Cause> for TaskFailure {
    fn from(cause: Cause) -> Self {
        let results = Vec::new();
        Self { cause, results }
    }
}

/// What happens to a run, from its start to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    pub(super) tasks: Tasks,
    pub(super) steps: Vec<Action>,
    pub(super) task_results: BTreeMap<String, Results>,
    pub(super) results: Results,
}

impl Scenario {
    /// Any sequence of actions. An impossible one fails during the simulation.
    pub fn new(tasks: &Tasks, steps: Vec<Action>) -> Self {
        Self {
            tasks: tasks.clone(),
            steps,
            task_results: BTreeMap::new(),
            results: Vec::new(),
        }
    }

    /// Every task succeeds: reason `Succeeded`.
    pub fn succeeds(tasks: &Tasks) -> Self {
        let mut steps = vec![Action::Start];
        steps.extend(tasks.all().flat_map(|task| passed(task)));
        steps.push(Action::End);
        Self::new(tasks, steps)
    }

    /// One task fails, later ones are skipped, `finally` tasks run: reason `Failed`.
    ///
    /// # Errors
    /// The task does not exist.
    pub fn fails_at(tasks: &Tasks, task: &str, failure: TaskFailure) -> Result<Self> {
        let mut steps = reaching(tasks, task)?;
        steps.push(Action::Fail(task.to_owned(), failure));
        let own = tasks.finally.iter().position(|name| name == task);
        let later = tasks.finally.iter().skip(own.map_or(0, |at| at + 1));
        steps.extend(later.flat_map(|task| passed(task)));
        steps.push(Action::End);
        Ok(Self::new(tasks, steps))
    }

    /// The run's timeout expires while a task runs: reason `PipelineRunTimeout`.
    ///
    /// # Errors
    /// The task does not exist.
    pub fn times_out_at(tasks: &Tasks, task: &str) -> Result<Self> {
        let mut steps = reaching(tasks, task)?;
        steps.push(Action::TimeOut);
        Ok(Self::new(tasks, steps))
    }

    /// A task runs until the run is cancelled or deleted.
    ///
    /// # Errors
    /// The task does not exist.
    pub fn hangs_at(tasks: &Tasks, task: &str) -> Result<Self> {
        let mut steps = reaching(tasks, task)?;
        steps.push(Action::Hold);
        Ok(Self::new(tasks, steps))
    }

    /// The run starts and fails before any task, for example with `CouldntGetPipeline`, `ParameterMissing` or
    /// `CreateRunFailed`.
    pub fn refused(reason: &str, message: &str) -> Self {
        let refuse = Action::Refuse(reason.to_owned(), message.to_owned());
        Self::new(&Tasks::new(&[], &[]), vec![Action::Start, refuse])
    }

    /// The Pipeline is not installed: reason `CouldntGetPipeline`.
    pub fn pipeline_missing(pipeline: &str) -> Self {
        let message = format!("Error retrieving pipeline: pipelines.tekton.dev \"{pipeline}\" not found");
        Self::refused("CouldntGetPipeline", &message)
    }

    /// Adds a result that a task writes when it succeeds.
    #[must_use]
    pub fn with_task_result(mut self, task: &str, name: &str, value: &str) -> Self {
        let results = self.task_results.entry(task.to_owned()).or_default();
        results.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a result of the run, which it has when it succeeds.
    #[must_use]
    pub fn with_result(mut self, name: &str, value: &str) -> Self {
        self.results.push((name.to_owned(), value.to_owned()));
        self
    }
}

fn passed(task: &str) -> [Action; 2] {
    [Action::Begin(task.to_owned()), Action::Succeed(task.to_owned())]
}

/// The actions up to the start of a task.
fn reaching(tasks: &Tasks, task: &str) -> Result<Vec<Action>> {
    ensure!(tasks.all().any(|name| name == task), "no task {task} among {tasks:?}");
    let before = tasks.all().take_while(|name| *name != task);
    let mut steps = vec![Action::Start];
    steps.extend(before.flat_map(|task| passed(task)));
    steps.push(Action::Begin(task.to_owned()));
    Ok(steps)
}
