//! The simulation of one run, action by action.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DynamicObject};
use serde_json::{Value, json};

use super::run_status::{Progress, State};
use super::scenario::{Action, Results, Scenario, TaskFailure};
use super::{pipeline_runs, task_run, task_runs};
use crate::process::POLL;

use super::requests;

/// How long a run that hangs may wait until a test cancels or deletes it.
const HELD_FOR: Duration = Duration::from_secs(300);

/// How a simulation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// The run ended as the scenario says.
    Ended,
    /// The run was cancelled.
    Cancelled,
    /// The run was deleted.
    Deleted,
}

/// A run whose status the fake writes.
pub struct SimulatedRun {
    client: Client,
    runs: Api<DynamicObject>,
    task_runs: Api<DynamicObject>,
    name: String,
    uid: String,
    scenario: Scenario,
    at: usize,
    progress: Progress,
    /// TaskRuns as created, by task name.
    made: BTreeMap<String, Value>,
    outcome: Option<RunOutcome>,
}

impl SimulatedRun {
    pub(super) async fn start(client: Client, namespace: &str, run: &str, scenario: Scenario) -> Result<Self> {
        let runs = pipeline_runs(&client, namespace);
        let found = requests::read(&runs, run, None).await?;
        let found = found.with_context(|| format!("run {run} does not exist"))?;
        ensure!(
            found["status"]["conditions"].is_null(),
            "run {run} has a status already: {}",
            found["status"]
        );
        Ok(Self::of(client, &found, scenario))
    }

    pub(super) fn of(client: Client, run: &Value, scenario: Scenario) -> Self {
        let text = |field: &str| run["metadata"][field].as_str().unwrap_or_default().to_owned();
        let namespace = text("namespace");
        Self {
            runs: pipeline_runs(&client, &namespace),
            task_runs: task_runs(&client, &namespace),
            client,
            name: text("name"),
            uid: text("uid"),
            at: 0,
            progress: Progress::new(&scenario.tasks),
            scenario,
            made: BTreeMap::new(),
            outcome: None,
        }
    }

    /// Performs the next action and returns the outcome if the run has ended. [`Action::Hold`] is never passed.
    ///
    /// # Errors
    /// The action is impossible, such as the end of a task that does not run, or the API server rejects a write.
    pub async fn next(&mut self) -> Result<Option<RunOutcome>> {
        if self.outcome.is_none() {
            let outcome = self.step().await;
            self.outcome = outcome.with_context(|| format!("action {} of the scenario of {}", self.at, self.name))?;
        }
        Ok(self.outcome)
    }

    /// Appends an action and performs everything up to it; returns the outcome if the run has ended.
    ///
    /// # Errors
    /// As for [`SimulatedRun::next`].
    pub async fn perform(&mut self, step: Action) -> Result<Option<RunOutcome>> {
        self.scenario.steps.push(step);
        while self.outcome.is_none() && self.at < self.scenario.steps.len() {
            self.next().await?;
        }
        Ok(self.outcome)
    }

    /// Sets a result that a task writes when it succeeds.
    pub fn set_task_result(&mut self, task: &str, name: &str, value: &str) {
        let results = self.scenario.task_results.entry(task.to_owned()).or_default();
        results.push((name.to_owned(), value.to_owned()));
    }

    /// Sets a result of the run, which it has when it succeeds.
    pub fn set_result(&mut self, name: &str, value: &str) {
        self.scenario.results.push((name.to_owned(), value.to_owned()));
    }

    /// Performs actions until this task runs.
    ///
    /// # Errors
    /// The run hangs or ends before.
    pub async fn until_running(&mut self, task: &str) -> Result<()> {
        while !self.progress.running().any(|running| running.name == task) {
            ensure!(
                self.at < self.scenario.steps.len() && self.scenario.steps[self.at] != Action::Hold,
                "{task} does not run before {} holds or ends",
                self.name
            );
            let outcome = self.next().await?;
            ensure!(outcome.is_none(), "{} ended before {task} ran: {outcome:?}", self.name);
        }
        Ok(())
    }

    /// Simulates the run to its end.
    ///
    /// # Errors
    /// As for [`SimulatedRun::next`], and when a run that hangs is not ended within 5 minutes.
    pub async fn finish(mut self) -> Result<RunOutcome> {
        let mut held = Instant::now();
        loop {
            let before = self.at;
            if let Some(outcome) = self.next().await? {
                return Ok(outcome);
            }
            if self.at > before {
                held = Instant::now();
                continue;
            }
            ensure!(
                held.elapsed() < HELD_FOR,
                "{} hung for {HELD_FOR:?} and was not cancelled or deleted",
                self.name
            );
            tokio::time::sleep(POLL).await;
        }
    }

    async fn step(&mut self) -> Result<Option<RunOutcome>> {
        let Some(run) = requests::read(&self.runs, &self.name, Some(&self.uid)).await? else {
            return Ok(Some(RunOutcome::Deleted));
        };
        if !run["metadata"]["deletionTimestamp"].is_null() {
            return Ok(Some(RunOutcome::Deleted));
        }
        match run["spec"]["status"].as_str() {
            None | Some("") => {}
            Some("Cancelled") => return self.cancel(&run).await.map(Some),
            Some(other) => bail!("the fake does not support spec.status {other}"),
        }
        let Some(step) = self.scenario.steps.get(self.at).cloned() else {
            bail!("the scenario has no action that ends the run");
        };
        let now = Timestamp::now();
        let ends = matches!(step, Action::Refuse(..) | Action::TimeOut | Action::End);
        let there = match step {
            Action::Hold => return Ok(None),
            Action::Start => {
                requests::claim_volumes(&self.client, &run).await?;
                let pipeline = run["spec"]["pipelineRef"]["name"].as_str().unwrap_or(&self.name);
                let there = requests::label(&self.runs, &run, "tekton.dev/pipeline", pipeline).await?;
                let new_status = self.progress.status_started(now);
                there && requests::write_status(&self.runs, &run, &new_status).await?
            }
            Action::Refuse(reason, message) => {
                let new_status = self.progress.status_aborted(&reason, &message, now);
                requests::write_status(&self.runs, &run, &new_status).await?
            }
            Action::Begin(task) => self.start_task(&run, &task, now).await?,
            Action::Succeed(task) => {
                let results = self.scenario.task_results.get(&task).cloned().unwrap_or_default();
                self.end_task(&run, &task, End::Succeeded(&results), now).await?
            }
            Action::Fail(task, failure) => self.end_task(&run, &task, End::Failed(&failure), now).await?,
            Action::TimeOut => self.time_out(&run, now).await?,
            Action::End => {
                let left: Vec<_> = self.progress.running().map(|task| &task.name).collect();
                ensure!(
                    self.progress.is_started() && left.is_empty(),
                    "the run cannot end while {left:?} run"
                );
                let new_status = self.progress.status_ended(&self.scenario.results, now);
                requests::write_status(&self.runs, &run, &new_status).await?
            }
        };
        self.at += 1;
        Ok(match (there, ends) {
            (false, _) => Some(RunOutcome::Deleted),
            (true, true) => Some(RunOutcome::Ended),
            (true, false) => None,
        })
    }

    async fn start_task(&mut self, run: &Value, name: &str, now: Timestamp) -> Result<bool> {
        ensure!(self.progress.is_started(), "the run has not started");
        let task = self.progress.task(name).with_context(|| format!("no task {name}"))?;
        ensure!(
            task.state == State::Waiting,
            "{name} is {:?} and cannot begin",
            task.state
        );
        let is_final = task.is_final;
        let made = requests::create_or_get(&self.task_runs, &task_run::new_task_run(run, name, is_final)).await?;
        let made_name = made["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        requests::write_status(&self.task_runs, &made, &task_run::running(&made_name, now)).await?;
        task.state = State::Running;
        task.child = Some(made_name);
        self.made.insert(name.to_owned(), made);
        if is_final {
            self.progress.start_finally(now);
        }
        let new_status = self.progress.status_running(now);
        requests::write_status(&self.runs, run, &new_status).await
    }

    async fn end_task(&mut self, run: &Value, name: &str, end: End<'_>, now: Timestamp) -> Result<bool> {
        let task = self.progress.task(name).with_context(|| format!("no task {name}"))?;
        ensure!(
            task.state == State::Running,
            "{name} is {:?} and cannot end",
            task.state
        );
        let is_final = task.is_final;
        task.state = match end {
            End::Succeeded(_) => State::Succeeded,
            End::Failed(_) => State::Failed,
        };
        let made = self.made.get(name).with_context(|| format!("{name} has no TaskRun"))?;
        let made_name = made["metadata"]["name"].as_str().unwrap_or_default();
        let uid = made["metadata"]["uid"].as_str();
        // A test may have deleted the TaskRun; the simulated run continues.
        if let Some(current) = requests::read(&self.task_runs, made_name, uid).await? {
            let started = &current["status"]["startTime"];
            let new_status = match end {
                End::Succeeded(results) => task_run::succeeded(started, results, now),
                End::Failed(failure) => {
                    let timeout = current["spec"]["timeout"].as_str().unwrap_or_default();
                    task_run::failed(made_name, timeout, failure, started, now)
                }
            };
            requests::write_status(&self.task_runs, &current, &new_status).await?;
        }
        if matches!(end, End::Failed(_)) && !is_final {
            self.progress.skip_main();
        }
        let new_status = self.progress.status_running(now);
        requests::write_status(&self.runs, run, &new_status).await
    }

    /// In Tekton's order: stop the TaskRuns, end the run, end the TaskRuns.
    async fn cancel(&mut self, run: &Value) -> Result<RunOutcome> {
        let now = Timestamp::now();
        let message = format!("PipelineRun \"{}\" was cancelled", self.name);
        let there = self
            .stop(run, task_run::CANCELLED, ("Cancelled", &message), now)
            .await?;
        Ok(if there {
            RunOutcome::Cancelled
        } else {
            RunOutcome::Deleted
        })
    }

    async fn time_out(&mut self, run: &Value, now: Timestamp) -> Result<bool> {
        let timeout = run["spec"]["timeouts"]["pipeline"].as_str().unwrap_or("1h0m0s");
        let message = format!("PipelineRun \"{}\" failed to finish within \"{timeout}\"", self.name);
        self.stop(run, task_run::OUT_OF_TIME, ("PipelineRunTimeout", &message), now)
            .await
    }

    async fn stop(&mut self, run: &Value, why: &str, new_status: (&str, &str), now: Timestamp) -> Result<bool> {
        let running: Vec<String> = self.progress.running().map(|task| task.name.clone()).collect();
        let mut stopped = Vec::new();
        for name in &running {
            if let Some(made) = self.made.get(name) {
                let change_spec = json!({"status": "TaskRunCancelled", "statusMessage": why});
                if requests::change_spec(&self.task_runs, made, &change_spec).await? {
                    stopped.push(made);
                }
            }
        }
        let new_status = self.progress.status_aborted(new_status.0, new_status.1, now);
        let there = requests::write_status(&self.runs, run, &new_status).await?;
        for made in stopped {
            let name = made["metadata"]["name"].as_str().unwrap_or_default();
            let uid = made["metadata"]["uid"].as_str();
            if let Some(current) = requests::read(&self.task_runs, name, uid).await? {
                let new_status = task_run::cancelled(name, why, &current["status"]["startTime"], now);
                requests::write_status(&self.task_runs, &current, &new_status).await?;
            }
        }
        for name in running {
            if let Some(task) = self.progress.task(&name) {
                task.state = State::Cancelled;
            }
        }
        Ok(there)
    }
}

/// How a task ends.
#[derive(Clone, Copy)]
enum End<'a> {
    Succeeded(&'a Results),
    Failed(&'a TaskFailure),
}
