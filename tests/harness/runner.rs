//! Runs the tasks of a PipelineRun as processes on this machine, in place of Tekton's pods.
//!
//! Pipeline and Tasks are read from the API server, so that order, parameters, workspaces, arguments, accounts and results are those
//! of the manifests. Steps that run in the user's image run with its files as their root. The status is written by
//! [`crate::fake_tekton`]. Steps are not isolated: they share this machine's user and network.

mod container;
mod folders;
mod machine;
mod plan;
mod step;
mod variables;

use anyhow::{Context as _, Result, ensure};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;

use crate::control_plane::ControlPlane;
use crate::fake_tekton::pipeline_runs;
use crate::fake_tekton::scenario::{Action, Scenario, TaskFailure, Tasks};
use crate::fake_tekton::{FakeTekton, RunOutcome, SimulatedRun};

use folders::Folders;
use plan::Planned;
use variables::Variables;

pub use machine::{ChangedRoot, Machine};

/// Tekton's default limit for the results of a task, in bytes.
const ROOM: usize = 4096;

/// The result of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Name in the Pipeline.
    pub task: String,
    /// Name and command of each step that ran, without encoded arguments.
    pub calls: Vec<(String, String)>,
    /// Why the rest of the task was skipped: this machine lacks a program or permission. The task then counts as succeeded.
    pub left_out: Option<String>,
    /// Whether it succeeded.
    pub success: bool,
    /// Its results, including reason and message.
    pub results: Vec<(String, String)>,
    /// Output of its steps.
    pub log: String,
}

impl Done {
    /// A result; empty if it does not exist.
    pub fn result(&self, name: &str) -> &str {
        let found = self.results.iter().find(|(own, _)| own == name);
        found.map_or("", |(_, value)| value)
    }
}

/// Executes the PipelineRuns of one cluster.
pub struct Runner<'a> {
    control_plane: &'a ControlPlane,
    machine: Machine,
}

impl<'a> Runner<'a> {
    /// A runner with the capabilities of this machine.
    pub fn new(control_plane: &'a ControlPlane) -> Self {
        let machine = Machine::look();
        Self { control_plane, machine }
    }

    /// The capabilities of this machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Executes a run to its end, and reports each task when it ends.
    ///
    /// # Errors
    /// Run, Pipeline and Tasks do not match, or a program cannot be started. A failed step is not an error.
    pub async fn run(&self, namespace: &str, name: &str, mut tell: impl FnMut(&Done)) -> Result<RunOutcome> {
        let client = self.control_plane.client().await?;
        let run = serde_json::to_value(pipeline_runs(&client, namespace).get(name).await?)?;
        let pipeline = run["spec"]["pipelineRef"]["name"].as_str().unwrap_or_default();
        let pipeline = read(&client, namespace, ("Pipeline", "pipelines"), pipeline).await?;
        let order = plan::order(&pipeline)?;
        let mut variables = plan::of_run(&pipeline, &run)?;
        let folders = Folders::of(&client, &run).await?;

        let names = |is_final| {
            let tasks = order.iter().filter(|task| task.is_final == is_final);
            tasks.map(|task| task.name.as_str()).collect::<Vec<_>>()
        };
        let scenario = Scenario::new(&Tasks::new(&names(false), &names(true)), vec![Action::Start]);
        let mut simulation = FakeTekton::new(client.clone(), namespace).start(name, scenario).await?;
        let mut outcome = simulation.next().await?;
        let mut has_failed = false;
        for task in &order {
            if outcome.is_some() || has_failed && !task.is_final {
                continue;
            }
            outcome = simulation.perform(Action::Begin(task.name.clone())).await?;
            if outcome.is_none() {
                let done = self.task(&client, &run, task, &variables, &folders).await?;
                for (result, value) in &done.results {
                    variables.set(format!("tasks.{}.results.{result}", task.name), value);
                }
                has_failed |= !done.success;
                outcome = report(&mut simulation, &done).await?;
                tell(&done);
            }
        }
        if outcome.is_none() {
            for result in plan::list(&pipeline["spec"]["results"]).filter(|_| !has_failed) {
                let name = result["name"].as_str().unwrap_or_default();
                let value = variables.fill(result["value"].as_str().unwrap_or_default())?;
                simulation.set_result(name, &value);
            }
            outcome = simulation.perform(Action::End).await?;
        }
        outcome.context("the run did not end")
    }

    async fn task(
        &self,
        client: &Client,
        run: &Value,
        planned: &Planned,
        of_run: &Variables,
        folders: &Folders,
    ) -> Result<Done> {
        let namespace = run["metadata"]["namespace"].as_str().unwrap_or_default();
        let task = read(client, namespace, ("Task", "tasks"), &planned.task).await?;
        let variables = planned.variables(&task, of_run, |workspace| folders.of_workspace(workspace))?;
        let stage = step::Stage {
            control_plane: self.control_plane,
            machine: &self.machine,
            client,
            namespace,
            own_spec: plan::own_spec(run, &planned.name),
            image: of_task_param(&task, &variables),
            folders,
            task: &planned.name,
            results: folders.of_task(&planned.name, "results")?,
        };
        let mut done = Done {
            task: planned.name.clone(),
            calls: Vec::new(),
            left_out: None,
            success: true,
            results: Vec::new(),
            log: String::new(),
        };
        for step in plan::steps(&task, &variables)? {
            match stage
                .run(&step)
                .await
                .with_context(|| format!("{}, step {}", planned.name, step.name))?
            {
                step::Ended::LeftOut(why) => done.left_out = Some(why),
                step::Ended::Ran { call, success, log } => {
                    done.calls.push((step.name.clone(), call));
                    done.log.push_str(&log);
                    done.success = success;
                }
            }
            if !done.success {
                break;
            }
        }
        for name in plan::results(&task) {
            if let Ok(value) = std::fs::read_to_string(stage.results.join(&name)) {
                done.results.push((name, value));
            } else if done.left_out.is_some() {
                done.results.push((name, String::new()));
            }
        }
        let taken: usize = done.results.iter().map(|(_, value)| value.len()).sum();
        ensure!(
            taken <= ROOM,
            "the results of {} exceed the limit: {taken} bytes",
            planned.name
        );
        Ok(done)
    }
}

/// The user's image, which a Task gets as a parameter.
fn of_task_param(task: &Value, variables: &Variables) -> Option<String> {
    let mut images = plan::list(&task["spec"]["steps"]).filter_map(|step| step["image"].as_str());
    let image = images.find(|image| image.contains("$(params."))?;
    variables.fill(image).ok()
}

async fn report(simulation: &mut SimulatedRun, done: &Done) -> Result<Option<RunOutcome>> {
    if done.success {
        for (name, value) in &done.results {
            simulation.set_task_result(&done.task, name, value);
        }
        return simulation.perform(Action::Succeed(done.task.clone())).await;
    }
    let failure = TaskFailure::exit(done.calls.last().map_or("", |(step, _)| step), 1);
    let failure = done
        .results
        .iter()
        .fold(failure, |failure, (name, value)| failure.with_result(name, value));
    simulation.perform(Action::Fail(done.task.clone(), failure)).await
}

async fn read(client: &Client, namespace: &str, (kind, plural): (&str, &str), name: &str) -> Result<Value> {
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("tekton.dev", "v1", kind), plural);
    let found: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let found = found
        .get(name)
        .await
        .with_context(|| format!("reading the {kind} {name}"))?;
    Ok(serde_json::to_value(found)?)
}
