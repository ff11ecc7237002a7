//! Builds: PipelineRuns, ImageStreams, failures and their reasons, changes, deletion.

use anyhow::{Context as _, Result};
use serde_json::json;

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::fake_tekton::RunOutcome;
use cnbi_tests::kubectl::KubectlOutput;

use super::fake_runs::{self, BUILDS, RunResult};
use super::narrator::Narrator;
use super::{TARGET, Tour, text};

/// A missing pull secret is a warning; the limit of concurrent runs exceeds the number of resources here.
const LENIENT: &str =
    "targetNamespace: {default: opendatahub}\nrules: {CNB110: Warn}\npipelines: {maxConcurrent: {perNamespace: 20}}\n";

/// The repository of the imported image.
const IMAGE: &str = "quay.io/thoth-station/s2i-minimal-py38-notebook";

pub(super) async fn chapters(tour: &mut Tour<'_>, control_plane: &ControlPlane) -> Result<()> {
    becomes_a_run(tour, control_plane).await?;
    fails(tour, control_plane).await?;
    late_secret(tour).await?;
    update(tour, control_plane).await?;
    deletion(tour).await
}

/// Prints the runs of a resource.
async fn list_runs(narrator: &Narrator<'_>, uid: &str) -> Result<KubectlOutput> {
    let columns = "custom-columns=RUN:.metadata.name,PIPELINE:.spec.pipelineRef.name,\
                   GENERATION:.metadata.labels.meteor\\.zone/generation,STATE:.status.conditions[0].reason";
    let selector = format!("meteor.zone/uid={uid}");
    let get = ["-n", BUILDS, "get", "pipelineruns", "-l", &selector, "-o", columns];
    narrator.kubectl(&get).await
}

async fn becomes_a_run(tour: &mut Tour<'_>, control_plane: &ControlPlane) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "The controller creates a PipelineRun",
        "Each valid resource gets a PipelineRun in the build namespace, where users have no permissions.",
    );
    let uid = narrator.uid("imported").await?;
    let run = fake_runs::next_run(control_plane, &uid).await?;
    let answer = list_runs(narrator, &uid).await?;
    narrator.claim(
        "the import has one run of the Pipeline cnbi-import",
        answer.stdout.matches("cnbi-import").count() == 1,
    );
    Narrator::say(
        "\n(Tekton is simulated here: the demo writes the status of the run, and no task runs. Only the two steps that write the\n\
         ImageStream are real: cnbi-step with the permissions of its service account.)",
    );
    fake_runs::simulate(control_plane, &run, &RunResult::Success(IMAGE)).await?;
    let answer = narrator
        .kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "cnbi/imported"])
        .await?;
    narrator.claim("after the run has succeeded, the resource is Ready", answer.success);
    narrator.kubectl(&["get", "cnbi", "imported"]).await?;
    let stream = "jsonpath={.metadata.annotations.opendatahub\\.io/notebook-image-name}{\"\\n\"}{.spec.tags[0].name}{\"\\n\"}\
                  {.status.tags[0].items[0].dockerImageReference}{\"\\n\"}";
    let answer = narrator
        .kubectl(&["-n", TARGET, "get", "imagestream", "imported", "-o", stream])
        .await?;
    let lines: Vec<&str> = answer.stdout.lines().collect();
    narrator.claim(
        "an ImageStream with display name, tag and image exists for Open Data Hub",
        lines.first() == Some(&"Minimal Python 3.8")
            && lines.get(1) == Some(&"v0.2.2")
            && lines.get(2).is_some_and(|image| image.contains("@sha256:")),
    );
    Ok(())
}

async fn fails(tour: &mut Tour<'_>, control_plane: &ControlPlane) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "A failed build reports the reason",
        "The image built from the Git repository has no JupyterLab (this run is simulated too).",
    );
    let uid = narrator.uid("from-git").await?;
    let run = fake_runs::next_run(control_plane, &uid).await?;
    let found = RunResult::Failure("validate", "ImageInvalid", "JupyterLab is not installed");
    fake_runs::simulate(control_plane, &run, &found).await?;
    let answer = narrator
        .kubectl(&["wait", "--for=condition=Stalled", "--timeout=60s", "cnbi/from-git"])
        .await?;
    narrator.claim(
        "the condition Stalled says that the controller will not retry",
        answer.success,
    );
    let why = "jsonpath={.status.phase}{\", at task \"}{.status.pipelineRun.failedTask}{\"\\n\"}\
               {.status.conditions[?(@.type==\"Ready\")].reason}{\": \"}{.status.conditions[?(@.type==\"Ready\")].message}{\"\\n\"}";
    let answer = narrator.kubectl(&["get", "cnbi", "from-git", "-o", why]).await?;
    let told = [
        "Failed, at task validate",
        "ImageInvalid",
        "JupyterLab is not installed",
    ];
    narrator.claim(
        "status contains the task, the reason and the message of the task",
        told.iter().all(|told| answer.stdout.contains(told)),
    );
    let answer = narrator
        .kubectl(&[
            "get",
            "events",
            "--field-selector",
            "involvedObject.name=from-git,type=Warning",
        ])
        .await?;
    narrator.claim("an Event contains the reason", answer.stdout.contains("ImageInvalid"));
    Ok(())
}

async fn late_secret(tour: &mut Tour<'_>) -> Result<()> {
    let system = tour.installation.namespace().to_owned();
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "A pull secret can be created later",
        "A GitOps pipeline applies secret and resource in any order, so the admin turned the error for a missing secret into a warning.",
    );
    let lenient = json!({"data": {"config.yaml": LENIENT}}).to_string();
    narrator
        .kubectl(&["-n", &system, "patch", "configmap", "cnbi-config", "-p", &lenient])
        .await?;
    let late = text("private.yaml")?
        .replace("private-import", "late")
        .replace("private-registry-credentials", "late-credentials");
    let dry = ["create", "--dry-run=server", "-f", "-"];
    let in_force = narrator.until(&dry, Some(&late), |answer| answer.success).await?;
    narrator.claim("the new configuration is active", in_force);
    let answer = narrator.with_input(&["apply", "-f", "-"], Some(&late)).await?;
    narrator.claim(
        "the resource is accepted with a warning that names the secret",
        answer.success && answer.stderr.contains("late-credentials"),
    );
    let wait = [
        "wait",
        "--for=jsonpath={.status.conditions[?(@.type==\"PullSecretReady\")].reason}=RequiredSecretMissing",
        "--timeout=30s",
        "cnbi/late",
    ];
    let answer = narrator.kubectl(&wait).await?;
    narrator.claim(
        "the condition PullSecretReady says what the controller waits for",
        answer.success,
    );
    let uid = narrator.uid("late").await?;
    let answer = list_runs(narrator, &uid).await?;
    narrator.claim("no run was created", !answer.stdout.contains("cnbi-import"));
    let secret = [
        "create",
        "secret",
        "docker-registry",
        "late-credentials",
        "--docker-server=quay.io",
        "--docker-username=me",
        "--docker-password=not-a-real-one",
    ];
    let answer = narrator.kubectl(&secret).await?;
    narrator.claim("the secret is created", answer.success);
    let answer = narrator
        .kubectl(&[
            "wait",
            "--for=condition=PipelineRunCreated",
            "--timeout=15s",
            "cnbi/late",
        ])
        .await?;
    narrator.claim("the controller then creates the run", answer.success);
    let copies = [
        "-n",
        BUILDS,
        "get",
        "secrets",
        "-l",
        &format!("meteor.zone/uid={uid}"),
        "-o",
        "jsonpath={range .items[*]}{.metadata.name}{\"\\n\"}{end}",
    ];
    let answer = narrator.kubectl(&copies).await?;
    narrator.claim(
        "the build namespace has a copy of the single entry that the run needs",
        answer.stdout.lines().count() == 1,
    );
    Ok(())
}

async fn update(tour: &mut Tour<'_>, control_plane: &ControlPlane) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "A change during a build",
        "The package list changes while its first run is active.",
    );
    let uid = narrator.uid("packages-on-image").await?;
    let first = fake_runs::next_run(control_plane, &uid).await?;
    let held = fake_runs::hold(control_plane, &first).await?;
    let packages = r#"{"spec": {"packageVersions": ["pandas", "boto3>=1.24.0", "numpy"]}}"#;
    let answer = narrator
        .kubectl(&["patch", "cnbi", "packages-on-image", "--type=merge", "-p", packages])
        .await?;
    narrator.claim("the change is accepted", answer.success);
    let outcome = held.await.context("simulating the run")??;
    narrator.claim("the run of the old list is cancelled", outcome == RunOutcome::Cancelled);
    let second = fake_runs::next_run(control_plane, &uid).await?;
    let answer = list_runs(narrator, &uid).await?;
    narrator.claim(
        "the new list gets a new run",
        second != first && answer.stdout.matches("cnbi-package-list").count() == 2,
    );
    fake_runs::simulate(control_plane, &second, &RunResult::Success("quay.io/example/packages")).await?;
    let answer = narrator
        .kubectl(&[
            "wait",
            "--for=condition=Ready",
            "--timeout=60s",
            "cnbi/packages-on-image",
        ])
        .await?;
    narrator.claim("its run ends, and the resource is Ready", answer.success);

    Narrator::say("\nA new display name needs no build.");
    let name = "opendatahub.io/notebook-image-name=Pandas, boto3 and NumPy";
    narrator
        .kubectl(&["annotate", "--overwrite", "cnbi/packages-on-image", name])
        .await?;
    let path = "jsonpath={.metadata.annotations.opendatahub\\.io/notebook-image-name}";
    let shown = ["-n", TARGET, "get", "imagestream", "packages-on-image", "-o", path];
    let is_there = narrator
        .until(&shown, None, |answer| answer.stdout == "Pandas, boto3 and NumPy")
        .await?;
    narrator.claim("the ImageStream has the new name", is_there);
    let answer = list_runs(narrator, &uid).await?;
    narrator.claim(
        "no further run was created",
        answer.stdout.matches("cnbi-package-list").count() == 2,
    );
    Ok(())
}

async fn deletion(tour: &mut Tour<'_>) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "Deletion cleans up",
        "Runs, copies of secrets and the ImageStream are deleted with their resource.",
    );
    let uid = narrator.uid("imported").await?;
    let answer = narrator
        .kubectl(&["delete", "cnbi", "imported", "--timeout=60s"])
        .await?;
    narrator.claim("the deletion completes", answer.success);
    let answer = narrator
        .quietly(&["-n", TARGET, "get", "imagestream", "imported"], None)
        .await?;
    narrator.claim("the ImageStream is deleted", answer.stderr.contains("NotFound"));
    let answer = list_runs(narrator, &uid).await?;
    narrator.claim("the runs are deleted", !answer.stdout.contains("cnbi-import"));
    Ok(())
}
