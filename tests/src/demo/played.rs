//! What runs come to in the tour: Tekton's part is played, and the steps that write ImageStreams are cnbi-step itself.

use anyhow::{Context as _, Result, ensure};
use cnbi_shared::contract::{self, Pipeline, params, results, tasks};
use serde_json::Value;
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::control_plane::ControlPlane;
use crate::process::binary;
use crate::tekton::pipeline_runs;
use crate::tekton::player::{Outcome, Player};
use crate::tekton::script::{Failure, Script, Tasks};

/// Where runs are made.
pub(super) const BUILDS: &str = "cnbi-builds";

/// The account of the steps that run nothing but our own programs.
const TRUSTED: &str = "cnbi-trusted";

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

/// Runs `cnbi-step imagestream`, with what the run hands to it and with the rights of its account.
async fn step(control_plane: &ControlPlane, run: &Value, what: &str) -> Result<()> {
    let given = |name: &str| {
        let mut params = run["spec"]["params"].as_array().into_iter().flatten();
        params
            .find(|param| param["name"] == name)
            .map(|param| param["value"].clone())
            .with_context(|| format!("the run has no parameter {name}"))
    };
    let kubeconfig = control_plane.service_account_kubeconfig(BUILDS, TRUSTED).await?;
    let results = tempfile::tempdir()?;
    let mut command = Command::new(binary("cnbi-step")?);
    command
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .arg("--results")
        .arg(results.path())
        .args(["imagestream", what]);
    for name in [
        params::NAMESPACE,
        params::NAME,
        params::UID,
        params::GENERATION,
        params::TARGET,
        params::TAG,
    ] {
        let value = given(name)?;
        command.arg(format!("--{name}={}", value.as_str().unwrap_or_default()));
    }
    if what == "update" {
        command.arg(format!(
            "--run={}",
            run["metadata"]["name"].as_str().unwrap_or_default()
        ));
    }
    let request = given(params::REQUEST)?;
    let items = request.as_array().into_iter().flatten().filter_map(Value::as_str);
    let ended = command.arg("--request").args(items).output().await?;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "cnbi-step imagestream {what}: {}", said.trim());
    Ok(())
}
