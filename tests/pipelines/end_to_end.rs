//! From a resource to a selectable image: webhook, controller, Pipelines and steps, on a real API server and registry. The runner
//! replaces Tekton's pods.

use std::time::{Duration, Instant};

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::fake_tekton::{Definitions, install_from};
use cnbi_tests::fake_tekton::{FakeTekton, RunOutcome};
use cnbi_tests::installation::{Installation, Replica, shipped};
use cnbi_tests::notebook::notebook;
use cnbi_tests::packages::PackageIndex;
use cnbi_tests::registry::{Registry, Setup};
use cnbi_tests::runner::{Done, Runner};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::Outcome;

const WITHIN: Duration = Duration::from_secs(60);
const BUILDS: &str = "cnbi-builds";
const TARGET: &str = "opendatahub";
const PEOPLE: &str = "data-science";

/// A cluster with CNBi, and the external services that it uses.
struct Whole {
    control_plane: ControlPlane,
    registry: Registry,
    index: PackageIndex,
}

static WHOLE: OnceCell<Whole> = OnceCell::const_new();
static PROGRAMS: OnceCell<(Installation<'static>, Vec<Replica>)> = OnceCell::const_new();

async fn whole() -> Outcome<&'static Whole> {
    let whole = WHOLE
        .get_or_try_init(|| async {
            let control_plane = ControlPlane::start().await?;
            install_from(&control_plane, &Definitions::from_env()).await?;
            let registry = Registry::start(Setup::default()).await?;
            registry.push("notebooks/minimal:v1", &notebook().await?).await?;
            let index = PackageIndex::start()?;
            Ok::<_, anyhow::Error>(Whole {
                control_plane,
                registry,
                index,
            })
        })
        .await?;
    PROGRAMS
        .get_or_try_init(|| async {
            let installation = Installation::install(&whole.control_plane, shipped::default(None)).await?;
            installation.create_namespace(TARGET).await?;
            installation.create_namespace(PEOPLE).await?;
            shipped::install_builds(&whole.control_plane, &[TARGET]).await?;
            let config = json!({
                "targetNamespace": {"default": TARGET},
                "network": {"insecureRegistries": [whole.registry.address()]},
                "registry": {"prefix": format!("{}/built", whole.registry.address())},
                "python": {"indexUrl": whole.index.url()},
            });
            let patch = json!({"data": {"config.yaml": config.to_string()}}).to_string();
            let patch = [
                "patch",
                "configmap",
                "cnbi-config",
                "--namespace",
                installation.namespace(),
                "--patch",
                &patch,
            ];
            whole.control_plane.kubectl().args(patch).ok().await?;
            let replicas = installation.start_all(WITHIN).await?;
            Ok::<_, anyhow::Error>((installation, replicas))
        })
        .await?;
    Ok(whole)
}

impl Whole {
    /// Applies a resource, runs its PipelineRun, and returns the executed steps and the final resource.
    async fn build(&self, name: &str, annotations: Value, spec: Value) -> Outcome<(Vec<Done>, Value)> {
        let resource = json!({
            "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
            "metadata": {"name": name, "namespace": PEOPLE, "annotations": annotations}, "spec": spec,
        });
        let apply = self.control_plane.kubectl().args(["apply", "-f", "-"]);
        apply.stdin(resource.to_string()).ok().await?;
        let uid = self.get(PEOPLE, "cnbi", name).await?["metadata"]["uid"].clone();
        let uid = uid.as_str().ok_or("it has no uid")?;
        let tekton = FakeTekton::new(self.control_plane.client().await?, BUILDS);
        let run = tekton.wait_for_run(&format!("meteor.zone/uid={uid}")).await?;
        let mut done = Vec::new();
        let runner = Runner::new(&self.control_plane);
        let outcome = runner.run(BUILDS, &run, |task| done.push(task.clone())).await?;
        assert_eq!(outcome, RunOutcome::Ended);
        assert!(done.iter().all(|task| task.left_out.is_none()), "{done:#?}");
        let begin = Instant::now();
        loop {
            let resource = self.get(PEOPLE, "cnbi", name).await?;
            if resource["status"]["phase"] == "Ready" || resource["status"]["phase"] == "Failed" {
                return Ok((done, resource));
            }
            assert!(begin.elapsed() < WITHIN, "{}: {done:#?}", resource["status"]);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn get(&self, namespace: &str, kind: &str, name: &str) -> Outcome<Value> {
        let get = ["get", kind, name, "--namespace", namespace, "--output", "json"];
        let text = self.control_plane.kubectl().args(get).ok().await?;
        Ok(serde_json::from_str(&text)?)
    }

    fn image(&self, tag: &str) -> String {
        format!("{}/notebooks/minimal:{tag}", self.registry.address())
    }
}

fn tasks(done: &[Done]) -> Vec<(&str, bool)> {
    done.iter().map(|task| (task.task.as_str(), task.success)).collect()
}

fn calls(done: &Done) -> Vec<(&str, &str)> {
    done.calls
        .iter()
        .map(|(step, call)| (step.as_str(), call.as_str()))
        .collect()
}

/// Reason and message of condition `Ready`.
fn ready(status: &Value) -> (&str, &str) {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    let ready = conditions.find(|condition| condition["type"] == "Ready");
    let text = |key: &str| ready.and_then(|ready| ready[key].as_str()).unwrap_or_default();
    (text("reason"), text("message"))
}

/// The fields of an ImageStream's only tag that Open Data Hub reads: image reference, software and packages.
fn shown(stream: &Value) -> Outcome<(String, Value, Value)> {
    let tag = &stream["spec"]["tags"][0];
    let annotation = |name: &str| -> Outcome<Value> {
        let text = tag["annotations"][format!("opendatahub.io/{name}")].as_str();
        Ok(serde_json::from_str(text.ok_or("no annotation")?)?)
    };
    assert_eq!(stream["metadata"]["labels"]["opendatahub.io/notebook-image"], "true");
    assert_eq!(
        stream["status"]["tags"][0]["items"][0]["dockerImageReference"],
        tag["from"]["name"]
    );
    Ok((
        tag["from"]["name"].as_str().ok_or("no image")?.to_owned(),
        annotation("notebook-software")?,
        annotation("notebook-python-dependencies")?,
    ))
}

#[tokio::test]
async fn an_import_becomes_a_selectable_image() -> Outcome {
    let whole = whole().await?;
    let hostile = json!({
        "opendatahub.io/notebook-image-name": "$(rm -rf /) \"quoted\"; --flag",
        "opendatahub.io/notebook-image-desc": "$(params.tag) $(tasks.setup.results.digest) `id` ${HOME} '\"",
    });
    let spec = json!({"buildType": "ImageImport", "fromImage": whole.image("v1")});
    let (done, resource) = whole.build("imported", hostile.clone(), spec).await?;
    let order = ["create-imagestream", "setup", "validate", "update-imagestream"];
    assert_eq!(tasks(&done), order.map(|task| (task, true)), "{done:#?}");
    assert_eq!(calls(&done[1]), [("inspect", "cnbi-step inspect")]);
    let validation = [("install", "cnbi-step install"), ("validate", "cnbi-step validate")];
    assert_eq!(calls(&done[2]), validation);

    assert_eq!(resource["status"]["phase"], "Ready", "{done:#?}");
    let digest = whole.registry.digest("notebooks/minimal:v1").await?;
    assert_eq!(resource["status"]["image"]["digest"], digest.as_str());
    let stream = whole.get(TARGET, "imagestream", "imported").await?;
    for (name, text) in hostile.as_object().into_iter().flatten() {
        assert_eq!(&stream["metadata"]["annotations"][name], text);
    }
    let (image, software, packages) = shown(&stream)?;
    assert_eq!(
        image,
        format!("{}/notebooks/minimal@{digest}", whole.registry.address())
    );
    assert_eq!(software, json!([{"name": "Python", "version": "v3.11"}]));
    assert_eq!(packages[0], json!({"name": "JupyterLab", "version": "4.2.5"}));
    Ok(())
}

#[tokio::test]
async fn an_import_of_a_missing_image_fails_with_image_not_found() -> Outcome {
    let whole = whole().await?;
    let spec = json!({"buildType": "ImageImport", "fromImage": whole.image("v9")});
    let (done, resource) = whole.build("missing", json!({}), spec).await?;
    let order = [
        ("create-imagestream", true),
        ("setup", false),
        ("update-imagestream", true),
    ];
    assert_eq!(tasks(&done), order, "{done:#?}");
    let status = &resource["status"];
    assert_eq!(status["pipelineRun"]["failedTask"], "setup", "{status}");
    let (reason, message) = ready(status);
    assert_eq!(reason, "ImageNotFound", "{message}");
    assert!(message.contains("minimal:v9"), "{message}");
    let stream = whole.get(TARGET, "imagestream", "missing").await?;
    assert_eq!(
        stream["metadata"]["annotations"]["opendatahub.io/notebook-image-phase"],
        "Failed"
    );
    Ok(())
}

#[tokio::test]
async fn an_unsatisfiable_package_list_fails_with_its_reason() -> Outcome {
    let whole = whole().await?;
    let packages = json!(["sunrise>=1.1", "horizon>=3"]);
    let spec = json!({"buildType": "PackageList", "builderImage": whole.image("v1"), "packageVersions": packages});
    let (done, resource) = whole.build("unsolvable", json!({}), spec).await?;
    let order = [
        ("create-imagestream", true),
        ("fetch", true),
        ("prepare", false),
        ("update-imagestream", true),
    ];
    assert_eq!(tasks(&done), order, "{done:#?}");
    let (reason, message) = ready(&resource["status"]);
    assert_eq!(reason, "RequirementsUnsolvable", "{message}");
    assert!(message.contains("nowhere-to-be-had"), "{message}");
    Ok(())
}

/// Tests that need buildah. `CNBI_WITHOUT=buildah` skips them.
mod buildah {
    use super::*;

    #[tokio::test]
    async fn a_package_list_becomes_an_image_with_its_packages() -> Outcome {
        let whole = whole().await?;
        assert_eq!(
            Runner::new(&whole.control_plane).machine().lacks_for_package_lists(),
            [""; 0]
        );
        let spec = json!({
            "buildType": "PackageList", "builderImage": whole.image("v1"), "packageVersions": ["sunrise>=1.1"],
        });
        let (done, resource) = whole.build("packages", json!({}), spec).await?;
        let order = [
            "create-imagestream",
            "fetch",
            "prepare",
            "record-source",
            "build",
            "push",
            "validate",
            "update-imagestream",
        ];
        assert_eq!(tasks(&done), order.map(|task| (task, true)), "{done:#?}");
        let status = &resource["status"];
        assert_eq!(status["phase"], "Ready", "{done:#?}");
        let tag = status["imageStream"]["tag"].as_str().ok_or("no tag")?;
        let digest = whole.registry.digest(&format!("built/{TARGET}/packages:{tag}")).await?;
        assert_eq!(status["image"]["digest"], digest.as_str());
        assert_eq!(done[5].result("digest"), digest);
        assert_eq!(status["source"]["commit"], done[3].result("commit"), "{status}");

        let (image, _, packages) = shown(&whole.get(TARGET, "imagestream", "packages").await?)?;
        assert_eq!(
            image,
            format!("{}/built/{TARGET}/packages@{digest}", whole.registry.address())
        );
        let packages = packages.as_array().ok_or("no packages")?;
        for (name, version) in [("sunrise", "1.2"), ("horizon", "2.1"), ("JupyterLab", "4.2.5")] {
            assert!(
                packages.contains(&json!({"name": name, "version": version})),
                "{packages:?}"
            );
        }
        Ok(())
    }
}
