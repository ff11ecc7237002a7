//! What is to be played on a run, as data: which tasks it has, what happens to them, in which order.
//!
//! No script knows a run: the same one can be played on any.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

/// The tasks of a Pipeline, each of which starts when the one before it has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tasks {
    pub(super) main: Vec<String>,
    pub(super) finally: Vec<String>,
}

impl Tasks {
    /// Tasks by their names in the Pipeline; `finally` are those that run whatever became of the others.
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

/// One thing that happens to a run. Each is one write to the run's status, and one or two to a TaskRun's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Tekton takes the run up: condition `Unknown`, reason `Started`.
    Start,
    /// The run ends before any task: condition `False`, with this reason and message.
    Refuse(String, String),
    /// A task's TaskRun is made and its steps run.
    Begin(String),
    /// A task ends well.
    Succeed(String),
    /// A task ends badly.
    Fail(String, Failure),
    /// Nothing more happens, until somebody cancels the run or deletes it.
    Hold,
    /// The time of the whole run is over, and what runs is stopped.
    TimeOut,
    /// The run ends as its tasks ended.
    End,
}

/// Why a task ends badly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
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

impl Failure {
    /// A step says why, in the task's results `reason` and `message`, and ends with 1: reason `StepFailed`.
    pub fn said(step: &str, reason: &str, message: &str) -> Self {
        Self::exit(step, 1)
            .with_result("reason", reason)
            .with_result("message", message)
    }

    /// A step ends with this code and says nothing: reason `StepFailed`.
    pub fn exit(step: &str, code: i32) -> Self {
        let step = step.to_owned();
        Self::from(Cause::Exit { step, code })
    }

    /// A step is killed for its memory: reason `StepOOM`.
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

    /// The task's own time is over: reason `TaskRunTimeout`.
    pub fn timed_out() -> Self {
        Self::from(Cause::TimedOut)
    }

    /// A result that the task has written before it ended.
    #[must_use]
    pub fn with_result(mut self, name: &str, value: &str) -> Self {
        self.results.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        let results = Vec::new();
        Self { cause, results }
    }
}

/// What happens to a run, from its start to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub(super) tasks: Tasks,
    pub(super) steps: Vec<Step>,
    pub(super) task_results: BTreeMap<String, Results>,
    pub(super) results: Results,
}

impl Script {
    /// Any steps; playing tells where they make no sense.
    pub fn new(tasks: &Tasks, steps: Vec<Step>) -> Self {
        Self {
            tasks: tasks.clone(),
            steps,
            task_results: BTreeMap::new(),
            results: Vec::new(),
        }
    }

    /// Every task succeeds: reason `Succeeded`.
    pub fn succeeds(tasks: &Tasks) -> Self {
        let mut steps = vec![Step::Start];
        steps.extend(tasks.all().flat_map(|task| passed(task)));
        steps.push(Step::End);
        Self::new(tasks, steps)
    }

    /// One task fails, the later ones are skipped, the final ones run: reason `Failed`.
    ///
    /// Fails when there is no such task.
    pub fn fails_at(tasks: &Tasks, task: &str, failure: Failure) -> Result<Self> {
        let mut steps = reaching(tasks, task)?;
        steps.push(Step::Fail(task.to_owned(), failure));
        let own = tasks.finally.iter().position(|name| name == task);
        let later = tasks.finally.iter().skip(own.map_or(0, |at| at + 1));
        steps.extend(later.flat_map(|task| passed(task)));
        steps.push(Step::End);
        Ok(Self::new(tasks, steps))
    }

    /// The time of the whole run is over while a task runs: reason `PipelineRunTimeout`.
    ///
    /// Fails when there is no such task.
    pub fn times_out_at(tasks: &Tasks, task: &str) -> Result<Self> {
        let mut steps = reaching(tasks, task)?;
        steps.push(Step::TimeOut);
        Ok(Self::new(tasks, steps))
    }

    /// A task runs until somebody cancels the run or deletes it.
    ///
    /// Fails when there is no such task.
    pub fn stays_at(tasks: &Tasks, task: &str) -> Result<Self> {
        let mut steps = reaching(tasks, task)?;
        steps.push(Step::Hold);
        Ok(Self::new(tasks, steps))
    }

    /// The run is taken up and ends before any task, such as with `CouldntGetPipeline`, `ParameterMissing` or
    /// `CreateRunFailed`.
    pub fn refused(reason: &str, message: &str) -> Self {
        let refuse = Step::Refuse(reason.to_owned(), message.to_owned());
        Self::new(&Tasks::new(&[], &[]), vec![Step::Start, refuse])
    }

    /// The Pipeline is not installed: reason `CouldntGetPipeline`.
    pub fn pipeline_missing(pipeline: &str) -> Self {
        let message = format!("Error retrieving pipeline: pipelines.tekton.dev \"{pipeline}\" not found");
        Self::refused("CouldntGetPipeline", &message)
    }

    /// A result that a task writes when it succeeds.
    #[must_use]
    pub fn with_task_result(mut self, task: &str, name: &str, value: &str) -> Self {
        let results = self.task_results.entry(task.to_owned()).or_default();
        results.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A result of the run itself, which it has when it succeeds.
    #[must_use]
    pub fn with_result(mut self, name: &str, value: &str) -> Self {
        self.results.push((name.to_owned(), value.to_owned()));
        self
    }
}

fn passed(task: &str) -> [Step; 2] {
    [Step::Begin(task.to_owned()), Step::Succeed(task.to_owned())]
}

/// The steps up to the one in which a task begins.
fn reaching(tasks: &Tasks, task: &str) -> Result<Vec<Step>> {
    ensure!(tasks.all().any(|name| name == task), "no task {task} among {tasks:?}");
    let before = tasks.all().take_while(|name| *name != task);
    let mut steps = vec![Step::Start];
    steps.extend(before.flat_map(|task| passed(task)));
    steps.push(Step::Begin(task.to_owned()));
    Ok(steps)
}
