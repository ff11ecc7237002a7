//! What becomes of requests: runs, images, failures with their reasons, and nothing left behind.

use anyhow::{Context as _, Result};
use serde_json::json;

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::kubectl::Answer;
use cnbi_tests::tekton::player::Outcome;

use super::narrator::Narrator;
use super::played::{self, BUILDS, Fate};
use super::{TARGET, Tour, text};

/// A policy under which a Secret may follow its resource, and more runs may be under way than the tour has requests.
const LENIENT: &str =
    "targetNamespace: {default: opendatahub}\nrules: {CNB110: Warn}\npipelines: {maxConcurrent: {perNamespace: 20}}\n";

/// What the tour's import leads to.
const IMAGE: &str = "quay.io/thoth-station/s2i-minimal-py38-notebook";

pub(super) async fn chapters(tour: &mut Tour<'_>, control_plane: &ControlPlane) -> Result<()> {
    becomes_a_run(tour, control_plane).await?;
    fails(tour, control_plane).await?;
    late_secret(tour).await?;
    update(tour, control_plane).await?;
    deletion(tour).await
}

/// Shows the runs of a resource.
async fn list_runs(narrator: &Narrator<'_>, uid: &str) -> Result<Answer> {
    let columns = "custom-columns=RUN:.metadata.name,PIPELINE:.spec.pipelineRef.name,\
                   GENERATION:.metadata.labels.meteor\\.zone/generation,STATE:.status.conditions[0].reason";
    let selector = format!("meteor.zone/uid={uid}");
    let get = ["-n", BUILDS, "get", "pipelineruns", "-l", &selector, "-o", columns];
    narrator.kubectl(&get).await
}

async fn becomes_a_run(tour: &mut Tour<'_>, control_plane: &ControlPlane) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "An accepted request becomes a Tekton run",
        "The controller has made a PipelineRun for each, in the namespace of builds, where users have no rights.",
    );
    let uid = narrator.uid("imported").await?;
    let run = played::next_run(control_plane, &uid).await?;
    let answer = list_runs(narrator, &uid).await?;
    narrator.claim(
        "the import has one run, of the pipeline for imports",
        answer.stdout.matches("cnbi-import").count() == 1,
    );
    Narrator::say(
        "\n(Tekton's part is played here: what it would write to the run's status is written by a script, and no task runs.\n\
         The two steps that write the ImageStream are cnbi-step itself, with its own service account's rights.)",
    );
    played::play(control_plane, &run, &Fate::Success(IMAGE)).await?;
    let answer = narrator
        .kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "cnbi/imported"])
        .await?;
    narrator.claim("when the run has succeeded, the image is ready", answer.success);
    narrator.kubectl(&["get", "cnbi", "imported"]).await?;
    let stream = "jsonpath={.metadata.annotations.opendatahub\\.io/notebook-image-name}{\"\\n\"}{.spec.tags[0].name}{\"\\n\"}\
                  {.status.tags[0].items[0].dockerImageReference}{\"\\n\"}";
    let answer = narrator
        .kubectl(&["-n", TARGET, "get", "imagestream", "imported", "-o", stream])
        .await?;
    let lines: Vec<&str> = answer.stdout.lines().collect();
    narrator.claim(
        "Open Data Hub has an ImageStream to show, with the display name, the tag and the image",
        lines.first() == Some(&"Minimal Python 3.8")
            && lines.get(1) == Some(&"v0.2.2")
            && lines.get(2).is_some_and(|image| image.contains("@sha256:")),
    );
    Ok(())
}

async fn fails(tour: &mut Tour<'_>, control_plane: &ControlPlane) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "A run that fails says why",
        "The image that was built of the Git repository turns out to have no JupyterLab (played, too).",
    );
    let uid = narrator.uid("from-git").await?;
    let run = played::next_run(control_plane, &uid).await?;
    let found = Fate::Failure("validate", "ImageInvalid", "JupyterLab is not installed");
    played::play(control_plane, &run, &found).await?;
    let answer = narrator
        .kubectl(&["wait", "--for=condition=Stalled", "--timeout=60s", "cnbi/from-git"])
        .await?;
    narrator.claim(
        "the resource says that nothing more will happen by itself",
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
        "with the task, the reason and what the task found",
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
    narrator.claim("and an Event tells it too", answer.stdout.contains("ImageInvalid"));
    Ok(())
}

async fn late_secret(tour: &mut Tour<'_>) -> Result<()> {
    let system = tour.installation.namespace().to_owned();
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "A Secret may arrive late",
        "A GitOps pipeline applies both in any order. The admin lets a missing Secret pass with a warning.",
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
    narrator.claim("the new policy is in force", in_force);
    let answer = narrator.with_input(&["apply", "-f", "-"], Some(&late)).await?;
    narrator.claim(
        "the resource is accepted, with a warning that names the Secret",
        answer.success && answer.stderr.contains("late-credentials"),
    );
    let wait = [
        "wait",
        "--for=jsonpath={.status.conditions[?(@.type==\"PullSecretReady\")].reason}=RequiredSecretMissing",
        "--timeout=30s",
        "cnbi/late",
    ];
    let answer = narrator.kubectl(&wait).await?;
    narrator.claim("the controller says what it waits for", answer.success);
    let uid = narrator.uid("late").await?;
    let answer = list_runs(narrator, &uid).await?;
    narrator.claim("and has made no run", !answer.stdout.contains("cnbi-import"));
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
    narrator.claim("the Secret is made", answer.success);
    let answer = narrator
        .kubectl(&[
            "wait",
            "--for=condition=PipelineRunCreated",
            "--timeout=15s",
            "cnbi/late",
        ])
        .await?;
    narrator.claim("and the run follows by itself", answer.success);
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
        "with a copy of the one entry that it needs, beside it",
        answer.stdout.lines().count() == 1,
    );
    Ok(())
}

async fn update(tour: &mut Tour<'_>, control_plane: &ControlPlane) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "A change of mind",
        "The list of packages changes while its first run is under way.",
    );
    let uid = narrator.uid("packages-on-image").await?;
    let first = played::next_run(control_plane, &uid).await?;
    let held = played::hold(control_plane, &first).await?;
    let packages = r#"{"spec": {"packageVersions": ["pandas", "boto3>=1.24.0", "numpy"]}}"#;
    let answer = narrator
        .kubectl(&["patch", "cnbi", "packages-on-image", "--type=merge", "-p", packages])
        .await?;
    narrator.claim("the change is accepted", answer.success);
    let outcome = held.await.context("playing")??;
    narrator.claim("the run of the old list is ended", outcome == Outcome::Cancelled);
    let second = played::next_run(control_plane, &uid).await?;
    let answer = list_runs(narrator, &uid).await?;
    narrator.claim(
        "and then the new list has a run of its own",
        second != first && answer.stdout.matches("cnbi-package-list").count() == 2,
    );
    played::play(control_plane, &second, &Fate::Success("quay.io/example/packages")).await?;
    let answer = narrator
        .kubectl(&[
            "wait",
            "--for=condition=Ready",
            "--timeout=60s",
            "cnbi/packages-on-image",
        ])
        .await?;
    narrator.claim("which leads to an image", answer.success);

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
    narrator.claim("the ImageStream has it", is_there);
    let answer = list_runs(narrator, &uid).await?;
    narrator.claim(
        "and there is no further run",
        answer.stdout.matches("cnbi-package-list").count() == 2,
    );
    Ok(())
}

async fn deletion(tour: &mut Tour<'_>) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "Deleted is gone",
        "Runs, copies of Secrets and the ImageStream go with their resource.",
    );
    let uid = narrator.uid("imported").await?;
    let answer = narrator
        .kubectl(&["delete", "cnbi", "imported", "--timeout=60s"])
        .await?;
    narrator.claim("the deletion comes to its end", answer.success);
    let answer = narrator
        .quietly(&["-n", TARGET, "get", "imagestream", "imported"], None)
        .await?;
    narrator.claim("the ImageStream is gone", answer.stderr.contains("NotFound"));
    let answer = list_runs(narrator, &uid).await?;
    narrator.claim("and so are the runs", !answer.stdout.contains("cnbi-import"));
    Ok(())
}
