//! Simulated runs: the fake Tekton writes the status, and cnbi-step writes the ImageStreams.

use anyhow::{Context as _, Result, ensure};
use cnbi_shared::contract::{self, Pipeline, results, tasks};
use serde_json::Value;
use tokio::task::JoinHandle;

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::fake_tekton::pipeline_runs;
use cnbi_tests::fake_tekton::scenario::{Scenario, TaskFailure, Tasks};
use cnbi_tests::fake_tekton::{FakeTekton, RunOutcome};
use cnbi_tests::step;

/// The build namespace.
pub(super) const BUILDS: &str = "cnbi-builds";

/// The digest that simulated tasks report.
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The result of a simulated run.
pub(super) enum RunResult {
    /// It succeeds with this image.
    Success(&'static str),
    /// This task fails with this reason and message.
    Failure(&'static str, &'static str, &'static str),
}

/// The next run without a status of the resource with that UID.
pub(super) async fn next_run(control_plane: &ControlPlane, uid: &str) -> Result<String> {
    let tekton = FakeTekton::new(control_plane.client().await?, BUILDS);
    tekton.wait_for_run(&format!("meteor.zone/uid={uid}")).await
}

/// Simulates a run to its end.
pub(super) async fn simulate(control_plane: &ControlPlane, run: &str, fate: &RunResult) -> Result<()> {
    let (manifest, pipeline) = read(control_plane, run).await?;
    let tasks = tasks_of(pipeline);
    let scenario = match fate {
        RunResult::Success(image) => {
            let reference = format!("{image}@{DIGEST}");
            let scenario = Scenario::succeeds(&tasks)
                .with_result(results::DIGEST, DIGEST)
                .with_result(results::REFERENCE, &reference);
            let reporting = pipeline
                .all_tasks()
                .filter(|task| task.results.contains(&results::DIGEST));
            reporting.fold(scenario, |scenario, task| {
                scenario
                    .with_task_result(task.name, results::DIGEST, DIGEST)
                    .with_task_result(task.name, results::REFERENCE, &reference)
            })
        }
        RunResult::Failure(task, reason, message) => {
            Scenario::fails_at(&tasks, task, TaskFailure::reported("probe", reason, message))?
        }
    };
    let tekton = FakeTekton::new(control_plane.client().await?, BUILDS);
    let mut simulated_run = tekton.start(run, scenario).await?;
    simulated_run.until_running(tasks::CREATE_IMAGE_STREAM).await?;
    step(control_plane, &manifest, "create").await?;
    simulated_run.until_running(tasks::UPDATE_IMAGE_STREAM).await?;
    step(control_plane, &manifest, "update").await?;
    simulated_run.finish().await?;
    Ok(())
}

/// Simulates a run that stays in its first task until it is cancelled or deleted.
pub(super) async fn hold(control_plane: &ControlPlane, run: &str) -> Result<JoinHandle<Result<RunOutcome>>> {
    let (_, pipeline) = read(control_plane, run).await?;
    let scenario = Scenario::hangs_at(&tasks_of(pipeline), tasks::CREATE_IMAGE_STREAM)?;
    let tekton = FakeTekton::new(control_plane.client().await?, BUILDS);
    let mut simulated_run = tekton.start(run, scenario).await?;
    simulated_run.until_running(tasks::CREATE_IMAGE_STREAM).await?;
    Ok(tokio::spawn(simulated_run.finish()))
}

async fn read(control_plane: &ControlPlane, run: &str) -> Result<(Value, &'static Pipeline)> {
    let found = pipeline_runs(&control_plane.client().await?, BUILDS).get(run).await?;
    let manifest = serde_json::to_value(found)?;
    let name = manifest["spec"]["pipelineRef"]["name"].as_str();
    let pipeline = contract::PIPELINES
        .into_iter()
        .find(|pipeline| Some(pipeline.name) == name);
    let pipeline = pipeline.with_context(|| format!("{run} uses an unknown Pipeline: {name:?}"))?;
    Ok((manifest, pipeline))
}

fn tasks_of(pipeline: &Pipeline) -> Tasks {
    let names = |tasks: &[contract::Task]| tasks.iter().map(|task| task.name).collect::<Vec<_>>();
    Tasks::new(&names(pipeline.tasks), &names(pipeline.finally))
}

/// Runs the real `cnbi-step imagestream`.
async fn step(control_plane: &ControlPlane, run: &Value, what: &str) -> Result<()> {
    let ended = step::image_stream(control_plane, run, what).await?;
    ensure!(ended.success, "cnbi-step imagestream {what}: {}", ended.message);
    Ok(())
}
