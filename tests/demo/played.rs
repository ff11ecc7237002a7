//! What runs come to in the tour: Tekton's part is played, and the steps that write ImageStreams are cnbi-step itself.

use anyhow::{Context as _, Result, ensure};
use cnbi_shared::contract::{self, Pipeline, results, tasks};
use serde_json::Value;
use tokio::task::JoinHandle;

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::step;
use cnbi_tests::tekton::pipeline_runs;
use cnbi_tests::tekton::player::{Outcome, Player};
use cnbi_tests::tekton::script::{Failure, Script, Tasks};

/// Where runs are made.
pub(super) const BUILDS: &str = "cnbi-builds";

/// What the played tasks report: no image is looked at.
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What becomes of a run.
pub(super) enum Fate {
    /// It succeeds, with this image.
    Success(&'static str),
    /// That task fails, and says why.
    Failure(&'static str, &'static str, &'static str),
}

/// The next run of the resource with that uid, on which nothing was played.
pub(super) async fn next_run(control_plane: &ControlPlane, uid: &str) -> Result<String> {
    let player = Player::new(control_plane.client().await?, BUILDS);
    player.appears(&format!("meteor.zone/uid={uid}")).await
}

/// Plays a run to its end.
pub(super) async fn play(control_plane: &ControlPlane, run: &str, fate: &Fate) -> Result<()> {
    let (manifest, pipeline) = read(control_plane, run).await?;
    let tasks = tasks_of(pipeline);
    let script = match fate {
        Fate::Success(image) => {
            let reference = format!("{image}@{DIGEST}");
            let script = Script::succeeds(&tasks)
                .with_result(results::DIGEST, DIGEST)
                .with_result(results::REFERENCE, &reference);
            let reporting = pipeline
                .all_tasks()
                .filter(|task| task.results.contains(&results::DIGEST));
            reporting.fold(script, |script, task| {
                script
                    .with_task_result(task.name, results::DIGEST, DIGEST)
                    .with_task_result(task.name, results::REFERENCE, &reference)
            })
        }
        Fate::Failure(task, reason, message) => {
            Script::fails_at(&tasks, task, Failure::said("probe", reason, message))?
        }
    };
    let player = Player::new(control_plane.client().await?, BUILDS);
    let mut performance = player.begin(run, script).await?;
    performance.until_running(tasks::CREATE_IMAGE_STREAM).await?;
    step(control_plane, &manifest, "create").await?;
    performance.until_running(tasks::UPDATE_IMAGE_STREAM).await?;
    step(control_plane, &manifest, "update").await?;
    performance.finish().await?;
    Ok(())
}

/// Plays a run that stays in its first task, until somebody ends it.
pub(super) async fn hold(control_plane: &ControlPlane, run: &str) -> Result<JoinHandle<Result<Outcome>>> {
    let (_, pipeline) = read(control_plane, run).await?;
    let script = Script::stays_at(&tasks_of(pipeline), tasks::CREATE_IMAGE_STREAM)?;
    let player = Player::new(control_plane.client().await?, BUILDS);
    let mut performance = player.begin(run, script).await?;
    performance.until_running(tasks::CREATE_IMAGE_STREAM).await?;
    Ok(tokio::spawn(performance.finish()))
}

async fn read(control_plane: &ControlPlane, run: &str) -> Result<(Value, &'static Pipeline)> {
    let found = pipeline_runs(&control_plane.client().await?, BUILDS).get(run).await?;
    let manifest = serde_json::to_value(found)?;
    let name = manifest["spec"]["pipelineRef"]["name"].as_str();
    let pipeline = contract::PIPELINES
        .into_iter()
        .find(|pipeline| Some(pipeline.name) == name);
    let pipeline = pipeline.with_context(|| format!("{run} is of no pipeline of ours: {name:?}"))?;
    Ok((manifest, pipeline))
}

fn tasks_of(pipeline: &Pipeline) -> Tasks {
    let names = |tasks: &[contract::Task]| tasks.iter().map(|task| task.name).collect::<Vec<_>>();
    Tasks::new(&names(pipeline.tasks), &names(pipeline.finally))
}

/// The step itself writes.
async fn step(control_plane: &ControlPlane, run: &Value, what: &str) -> Result<()> {
    let ended = step::image_stream(control_plane, run, what).await?;
    ensure!(ended.success, "cnbi-step imagestream {what}: {}", ended.message);
    Ok(())
}
