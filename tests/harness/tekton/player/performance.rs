//! One script on one run, step by step.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DynamicObject};
use serde_json::{Value, json};

use crate::process::POLL;
use crate::tekton::script::{Failure, Results, Script, Step};
use crate::tekton::told::{Progress, State};
use crate::tekton::{pipeline_runs, task_run, task_runs};

use super::stage;

/// How long a run that holds may wait for somebody to end it.
const HELD_FOR: Duration = Duration::from_secs(300);

/// How a play came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The run ended as the script says.
    Ended,
    /// Somebody cancelled the run.
    Cancelled,
    /// Somebody deleted the run.
    Deleted,
}

/// A script that is being played on a run.
pub struct Performance {
    client: Client,
    runs: Api<DynamicObject>,
    task_runs: Api<DynamicObject>,
    name: String,
    uid: String,
    script: Script,
    at: usize,
    progress: Progress,
    /// TaskRuns by the task's name, as made.
    made: BTreeMap<String, Value>,
    outcome: Option<Outcome>,
}

impl Performance {
    pub(super) async fn begin(client: Client, namespace: &str, run: &str, script: Script) -> Result<Self> {
        let runs = pipeline_runs(&client, namespace);
        let found = stage::read(&runs, run, None).await?;
        let found = found.with_context(|| format!("there is no run {run}"))?;
        ensure!(
            found["status"]["conditions"].is_null(),
            "something was played on {run} already: {}",
            found["status"]
        );
        Ok(Self::of(client, &found, script))
    }

    pub(super) fn of(client: Client, run: &Value, script: Script) -> Self {
        let text = |field: &str| run["metadata"][field].as_str().unwrap_or_default().to_owned();
        let namespace = text("namespace");
        Self {
            runs: pipeline_runs(&client, &namespace),
            task_runs: task_runs(&client, &namespace),
            client,
            name: text("name"),
            uid: text("uid"),
            at: 0,
            progress: Progress::new(&script.tasks),
            script,
            made: BTreeMap::new(),
            outcome: None,
        }
    }

    /// Plays one step and gives the outcome once there is one. A step in which the run holds stays the next one.
    ///
    /// Fails when a step makes no sense, such as the end of a task that does not run, or when the API server refuses.
    pub async fn next(&mut self) -> Result<Option<Outcome>> {
        if self.outcome.is_none() {
            let outcome = self.step().await;
            self.outcome = outcome.with_context(|| format!("playing step {} of {}", self.at, self.name))?;
        }
        Ok(self.outcome)
    }

    /// Puts a step behind the script, and plays up to it; gives the outcome once there is one.
    ///
    /// Fails like [`Performance::next`].
    pub async fn then(&mut self, step: Step) -> Result<Option<Outcome>> {
        self.script.steps.push(step);
        while self.outcome.is_none() && self.at < self.script.steps.len() {
            self.next().await?;
        }
        Ok(self.outcome)
    }

    /// Sets a result that a task writes when it succeeds.
    pub fn task_reports(&mut self, task: &str, name: &str, value: &str) {
        let results = self.script.task_results.entry(task.to_owned()).or_default();
        results.push((name.to_owned(), value.to_owned()));
    }

    /// Sets a result of the run itself, which it has when it succeeds.
    pub fn reports(&mut self, name: &str, value: &str) {
        self.script.results.push((name.to_owned(), value.to_owned()));
    }

    /// Plays until this task runs.
    ///
    /// Fails when the run ends before.
    pub async fn until_running(&mut self, task: &str) -> Result<()> {
        while !self.progress.running().any(|running| running.name == task) {
            ensure!(
                self.at < self.script.steps.len() && self.script.steps[self.at] != Step::Hold,
                "{task} does not run before {} holds or ends",
                self.name
            );
            let outcome = self.next().await?;
            ensure!(
                outcome.is_none(),
                "{} came to its end before {task}: {outcome:?}",
                self.name
            );
        }
        Ok(())
    }

    /// Plays to the end.
    ///
    /// Fails, besides, when the run holds and nobody ends it within 5 minutes.
    pub async fn finish(mut self) -> Result<Outcome> {
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
                "nobody ended {} within {HELD_FOR:?}",
                self.name
            );
            tokio::time::sleep(POLL).await;
        }
    }

    async fn step(&mut self) -> Result<Option<Outcome>> {
        let Some(run) = stage::read(&self.runs, &self.name, Some(&self.uid)).await? else {
            return Ok(Some(Outcome::Deleted));
        };
        if !run["metadata"]["deletionTimestamp"].is_null() {
            return Ok(Some(Outcome::Deleted));
        }
        match run["spec"]["status"].as_str() {
            None | Some("") => {}
            Some("Cancelled") => return self.cancel(&run).await.map(Some),
            Some(other) => bail!("spec.status {other} is not played"),
        }
        let Some(step) = self.script.steps.get(self.at).cloned() else {
            bail!("the script is over and the run has no end");
        };
        let now = Timestamp::now();
        let ends = matches!(step, Step::Refuse(..) | Step::TimeOut | Step::End);
        let there = match step {
            Step::Hold => return Ok(None),
            Step::Start => {
                stage::claim_volumes(&self.client, &run).await?;
                let pipeline = run["spec"]["pipelineRef"]["name"].as_str().unwrap_or(&self.name);
                let there = stage::label(&self.runs, &run, "tekton.dev/pipeline", pipeline).await?;
                let told = self.progress.taken_up(now);
                there && stage::tell(&self.runs, &run, &told).await?
            }
            Step::Refuse(reason, message) => {
                let told = self.progress.broken_off(&reason, &message, now);
                stage::tell(&self.runs, &run, &told).await?
            }
            Step::Begin(task) => self.begin_task(&run, &task, now).await?,
            Step::Succeed(task) => {
                let results = self.script.task_results.get(&task).cloned().unwrap_or_default();
                self.end_task(&run, &task, End::Well(&results), now).await?
            }
            Step::Fail(task, failure) => self.end_task(&run, &task, End::Badly(&failure), now).await?,
            Step::TimeOut => self.time_out(&run, now).await?,
            Step::End => {
                let left: Vec<_> = self.progress.running().map(|task| &task.name).collect();
                ensure!(
                    self.progress.is_started() && left.is_empty(),
                    "the run cannot end while {left:?} run"
                );
                let told = self.progress.ended(&self.script.results, now);
                stage::tell(&self.runs, &run, &told).await?
            }
        };
        self.at += 1;
        Ok(match (there, ends) {
            (false, _) => Some(Outcome::Deleted),
            (true, true) => Some(Outcome::Ended),
            (true, false) => None,
        })
    }

    async fn begin_task(&mut self, run: &Value, name: &str, now: Timestamp) -> Result<bool> {
        ensure!(self.progress.is_started(), "the run has not started");
        let task = self.progress.task(name).with_context(|| format!("no task {name}"))?;
        ensure!(
            task.state == State::Waiting,
            "{name} is {:?} and cannot begin",
            task.state
        );
        let is_final = task.is_final;
        let made = stage::make(&self.task_runs, &task_run::made(run, name, is_final)).await?;
        let made_name = made["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        stage::tell(&self.task_runs, &made, &task_run::running(&made_name, now)).await?;
        task.state = State::Running;
        task.child = Some(made_name);
        self.made.insert(name.to_owned(), made);
        if is_final {
            self.progress.start_finally(now);
        }
        let told = self.progress.under_way(now);
        stage::tell(&self.runs, run, &told).await
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
            End::Well(_) => State::Succeeded,
            End::Badly(_) => State::Failed,
        };
        let made = self.made.get(name).with_context(|| format!("{name} has no TaskRun"))?;
        let made_name = made["metadata"]["name"].as_str().unwrap_or_default();
        let uid = made["metadata"]["uid"].as_str();
        // Somebody may have deleted it; the run goes on all the same, in the play.
        if let Some(current) = stage::read(&self.task_runs, made_name, uid).await? {
            let started = &current["status"]["startTime"];
            let told = match end {
                End::Well(results) => task_run::succeeded(started, results, now),
                End::Badly(failure) => {
                    let timeout = current["spec"]["timeout"].as_str().unwrap_or_default();
                    task_run::failed(made_name, timeout, failure, started, now)
                }
            };
            stage::tell(&self.task_runs, &current, &told).await?;
        }
        if matches!(end, End::Badly(_)) && !is_final {
            self.progress.skip_main();
        }
        let told = self.progress.under_way(now);
        stage::tell(&self.runs, run, &told).await
    }

    /// As Tekton does it: first the TaskRuns are told to stop, then the run is told to be over, then they are.
    async fn cancel(&mut self, run: &Value) -> Result<Outcome> {
        let now = Timestamp::now();
        let message = format!("PipelineRun \"{}\" was cancelled", self.name);
        let there = self
            .stop(run, task_run::CANCELLED, ("Cancelled", &message), now)
            .await?;
        Ok(if there { Outcome::Cancelled } else { Outcome::Deleted })
    }

    async fn time_out(&mut self, run: &Value, now: Timestamp) -> Result<bool> {
        let timeout = run["spec"]["timeouts"]["pipeline"].as_str().unwrap_or("1h0m0s");
        let message = format!("PipelineRun \"{}\" failed to finish within \"{timeout}\"", self.name);
        self.stop(run, task_run::OUT_OF_TIME, ("PipelineRunTimeout", &message), now)
            .await
    }

    async fn stop(&mut self, run: &Value, why: &str, told: (&str, &str), now: Timestamp) -> Result<bool> {
        let running: Vec<String> = self.progress.running().map(|task| task.name.clone()).collect();
        let mut stopped = Vec::new();
        for name in &running {
            if let Some(made) = self.made.get(name) {
                let order = json!({"status": "TaskRunCancelled", "statusMessage": why});
                if stage::order(&self.task_runs, made, &order).await? {
                    stopped.push(made);
                }
            }
        }
        let told = self.progress.broken_off(told.0, told.1, now);
        let there = stage::tell(&self.runs, run, &told).await?;
        for made in stopped {
            let name = made["metadata"]["name"].as_str().unwrap_or_default();
            let uid = made["metadata"]["uid"].as_str();
            if let Some(current) = stage::read(&self.task_runs, name, uid).await? {
                let told = task_run::cancelled(name, why, &current["status"]["startTime"], now);
                stage::tell(&self.task_runs, &current, &told).await?;
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
    Well(&'a Results),
    Badly(&'a Failure),
}
