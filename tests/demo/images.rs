//! From a resource to an image: the real steps run against a real registry. Only Tekton is simulated.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::notebook::notebook;
use cnbi_tests::packages::PackageIndex;
use cnbi_tests::registry::{Registry, Setup};
use cnbi_tests::runner::{Done, Runner};

use super::admission::indented;
use super::fake_runs::{self, BUILDS};
use super::narrator::Narrator;
use super::{TARGET, Tour};

/// What the sections share besides the cluster.
struct Stage<'a> {
    control_plane: &'a ControlPlane,
    runner: Runner<'a>,
    registry: Registry,
    index: PackageIndex,
}

pub(super) async fn chapters(tour: &mut Tour<'_>, control_plane: &ControlPlane) -> Result<()> {
    let stage = Stage {
        control_plane,
        runner: Runner::new(control_plane),
        registry: Registry::start(Setup::default()).await?,
        index: PackageIndex::start().context("starting the package index")?,
    };
    let digest = stage.registry.push("notebooks/minimal:v1", &notebook().await?).await?;
    import(tour, &stage, &digest).await?;
    missing(tour, &stage).await?;
    packages(tour, &stage).await
}

impl Stage<'_> {
    /// The configuration: registry, package index, runtime environments, and a limit above the number of runs here.
    fn config(&self) -> String {
        format!(
            "targetNamespace: {{default: {TARGET}}}\nnetwork: {{insecureRegistries: [\"{registry}\"]}}\n\
             registry: {{prefix: {registry}/built}}\npython: {{indexUrl: {index}}}\n\
             pipelines: {{maxConcurrent: {{perNamespace: 20}}}}\nruntimeEnvironments:\n\
             - {{osName: ubi, osVersion: \"8\", pythonVersion: \"3.8\", builderImage: \"{registry}/notebooks/minimal:v1\"}}\n",
            registry = self.registry.address(),
            index = self.index.url(),
        )
    }

    fn image(&self, tag: &str) -> String {
        format!("{}/notebooks/minimal:{tag}", self.registry.address())
    }

    /// Runs the tasks of the next run of a resource and prints each.
    async fn run(&self, narrator: &Narrator<'_>, name: &str) -> Result<Vec<Done>> {
        let uid = narrator.uid(name).await?;
        let run = fake_runs::next_run(self.control_plane, &uid).await?;
        Narrator::say(&format!("\n(the tasks of {run}, in the order of the Pipeline)"));
        let mut all = Vec::new();
        let tell = |done: &Done| {
            Narrator::say(&line(done));
            all.push(done.clone());
        };
        self.runner.run(BUILDS, &run, tell).await?;
        Ok(all)
    }
}

/// A task, the commands of its steps, and the result.
fn line(done: &Done) -> String {
    let outcome = match (&done.left_out, done.success) {
        (Some(why), _) => format!("skipped: {why}"),
        (None, false) => format!("{}: {}", done.result("reason"), done.result("message")),
        (None, true) => ["digest", "commit", "software"]
            .map(|name| (name, done.result(name)))
            .into_iter()
            .find(|(_, value)| !value.is_empty())
            .map_or("done".to_owned(), |(name, value)| format!("{name} {value}")),
    };
    let calls: Vec<&str> = done.calls.iter().map(|(_, call)| call.as_str()).collect();
    format!("  {:<19} {}  → {outcome}", done.task, calls.join(", "))
}

/// A manifest.
fn resource(name: &str, title: &str, spec: &str) -> String {
    format!(
        "apiVersion: meteor.zone/v1alpha1\nkind: CustomNBImage\nmetadata:\n  name: {name}\n  annotations:\n    \
         opendatahub.io/notebook-image-name: {title}\n    opendatahub.io/notebook-image-desc: From the demo\nspec:\n{spec}"
    )
}

async fn import(tour: &mut Tour<'_>, stage: &Stage<'_>, digest: &str) -> Result<()> {
    let system = tour.installation.namespace().to_owned();
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "An image import, with real steps",
        "A real OCI registry on this machine has a small notebook image; its Python is a fake that runs no code. From here on the\n\
         steps are real: each is a process of cnbi-step with the arguments of its Task and the permissions of its service account.\n\
         Tekton is still simulated: steps run without pods, and the demo writes the status of the run.",
    );
    let config = json!({"data": {"config.yaml": stage.config()}}).to_string();
    let answer = narrator
        .kubectl(&["-n", &system, "patch", "configmap", "cnbi-config", "-p", &config])
        .await?;
    narrator.claim("the admin configured registry and package index", answer.success);
    let wait = [
        "wait",
        "--for=condition=WellFormed",
        "--timeout=30s",
        "cnbi/packages-on-environment",
    ];
    let answer = narrator.kubectl(&wait).await?;
    narrator.claim(
        "the controller uses the new configuration: the runtime environment of packages-on-environment is supported",
        answer.success,
    );
    let spec = format!("  buildType: ImageImport\n  fromImage: {}\n", stage.image("v1"));
    let text = resource("local", "Local notebook", &spec);
    Narrator::say(&indented(&text));
    let answer = narrator.with_input(&["apply", "-f", "-"], Some(&text)).await?;
    narrator.claim("the resource is accepted", answer.success);
    let done = stage.run(narrator, "local").await?;
    narrator.claim("every task succeeded", done.iter().all(|done| done.success));
    is_ready(narrator, "local", digest).await?;
    let pulled = stage.registry.digest("notebooks/minimal:v1").await?;
    narrator.claim("the registry has the same digest", pulled == digest);
    is_shown(narrator, "local", &done, &[("JupyterLab", "4.2.5")]).await
}

async fn missing(tour: &mut Tour<'_>, stage: &Stage<'_>) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter("An import of a missing image", "The registry has no tag v9.");
    let spec = format!("  buildType: ImageImport\n  fromImage: {}\n", stage.image("v9"));
    let text = resource("typo", "Not there", &spec);
    let answer = narrator.with_input(&["apply", "-f", "-"], Some(&text)).await?;
    narrator.claim("the resource is accepted, because it is valid", answer.success);
    stage.run(narrator, "typo").await?;
    let wait = ["wait", "--for=condition=Stalled", "--timeout=60s", "cnbi/typo"];
    let answer = narrator.kubectl(&wait).await?;
    narrator.claim(
        "the condition Stalled says that the controller will not retry",
        answer.success,
    );
    let answer = narrator.kubectl(&["get", "cnbi", "typo"]).await?;
    narrator.claim("the reason is ImageNotFound", answer.stdout.contains("ImageNotFound"));
    Ok(())
}

async fn packages(tour: &mut Tour<'_>, stage: &Stage<'_>) -> Result<()> {
    let narrator = &mut tour.narrator;
    let lacks = stage.runner.machine().lacks_for_package_lists();
    if !lacks.is_empty() {
        narrator.chapter(
            "A package list, with real steps",
            &format!(
                "Skipped: this machine has no {}. `make tools` installs it or shows how.",
                lacks.join(" and no ")
            ),
        );
        return Ok(());
    }
    narrator.chapter(
        "A package list, with real steps",
        "uv resolves the list against a package index with made-up packages, Git stores the source, buildah builds the image and\n\
         pushes it to the registry. Installation and validation run with the files of the image as their root.",
    );
    let image = stage.image("v1");
    let spec = format!("  buildType: PackageList\n  builderImage: {image}\n  packageVersions: [sunrise>=1.1]\n");
    let text = resource("with-packages", "Notebook with packages", &spec);
    Narrator::say(&indented(&text));
    let answer = narrator.with_input(&["apply", "-f", "-"], Some(&text)).await?;
    narrator.claim("the resource is accepted", answer.success);
    let done = stage.run(narrator, "with-packages").await?;
    narrator.claim("every task succeeded", done.iter().all(|done| done.success));
    // The controller updates the tag in the status only after it has observed the end of the run.
    let ready = ["wait", "--for=condition=Ready", "--timeout=60s", "cnbi/with-packages"];
    narrator.quietly(&ready, None).await?;
    let path = "jsonpath={.status.imageStream.tag}";
    let tag = narrator
        .quietly(&["get", "cnbi", "with-packages", "-o", path], None)
        .await?
        .stdout;
    let place = format!("built/{TARGET}/with-packages:{tag}");
    let pushed = stage.registry.digest(&place).await.unwrap_or_default();
    narrator.claim("the registry has the image", pushed.starts_with("sha256:"));
    is_ready(narrator, "with-packages", &pushed).await?;
    let answer = narrator
        .kubectl(&[
            "get",
            "cnbi",
            "with-packages",
            "-o",
            "jsonpath={.status.source.commit}{\"\\n\"}",
        ])
        .await?;
    let recorded = done.iter().find(|done| done.task == "record-source");
    let commit = recorded.map_or("", |done| done.result("commit"));
    narrator.claim(
        "status has the commit of the lock file and the Containerfile",
        !commit.is_empty() && answer.stdout.trim() == commit,
    );
    // The requested packages and their dependencies, in compatible versions.
    is_shown(
        narrator,
        "with-packages",
        &done,
        &[("sunrise", "1.2"), ("horizon", "2.1")],
    )
    .await
}

/// The resource is ready, with that digest.
async fn is_ready(narrator: &mut Narrator<'_>, name: &str, digest: &str) -> Result<()> {
    let resource = format!("cnbi/{name}");
    let wait = ["wait", "--for=condition=Ready", "--timeout=60s", &resource];
    let answer = narrator.kubectl(&wait).await?;
    narrator.claim("the resource is Ready", answer.success);
    let answer = narrator.kubectl(&["get", "cnbi", name]).await?;
    narrator.claim("`kubectl get cnbi` shows it", answer.stdout.contains("Ready"));
    let path = "jsonpath={.status.image.digest}{\"\\n\"}";
    let answer = narrator.kubectl(&["get", "cnbi", name, "-o", path]).await?;
    narrator.claim(
        "status has the digest of the image",
        !digest.is_empty() && answer.stdout.trim() == digest,
    );
    Ok(())
}

/// Its ImageStream is what Open Data Hub lists, with those packages.
async fn is_shown(narrator: &mut Narrator<'_>, name: &str, done: &[Done], packages: &[(&str, &str)]) -> Result<()> {
    let path = "jsonpath={.metadata.labels.opendatahub\\.io/notebook-image}{\"\\n\"}{.spec.tags[0].from.name}{\"\\n\"}\
                {.status.tags[0].items[0].dockerImageReference}{\"\\n\"}\
                {.spec.tags[0].annotations.opendatahub\\.io/notebook-software}{\"\\n\"}\
                {.spec.tags[0].annotations.opendatahub\\.io/notebook-python-dependencies}{\"\\n\"}";
    let answer = narrator
        .kubectl(&["-n", TARGET, "get", "imagestream", name, "-o", path])
        .await?;
    let lines: Vec<&str> = answer.stdout.lines().collect();
    let [label, image, selectable, software, found] = lines.as_slice() else {
        narrator.claim("an ImageStream exists for Open Data Hub", false);
        return Ok(());
    };
    narrator.claim(
        "the ImageStream has the label of Open Data Hub, and its tag points to the image",
        *label == "true" && image == selectable && image.contains("@sha256:"),
    );
    if let Some(why) = done.iter().find_map(|done| done.left_out.as_ref()) {
        Narrator::say(&format!("  The content of the image was not checked: {why}."));
        return Ok(());
    }
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let python = json!([{"name": "Python", "version": "v3.11"}]);
    let found = parsed(found);
    let found = found.as_array().map(Vec::as_slice).unwrap_or_default();
    let has = |(name, version): &(&str, &str)| found.contains(&json!({"name": name, "version": version}));
    narrator.claim(
        "its annotations list Python and the packages found in the image",
        parsed(software) == python && packages.iter().all(has),
    );
    Ok(())
}
