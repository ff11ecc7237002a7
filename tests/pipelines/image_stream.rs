//! `cnbi-step imagestream` on a real API server with the RBAC of the trusted account. ImageStreams and runs are
//! fakes.

use std::path::{Path, PathBuf};
use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::fake_tekton::FakeTekton;
use cnbi_tests::fake_tekton::scenario::{Scenario, TaskFailure, Tasks};
use cnbi_tests::fake_tekton::{Definitions, image_streams, pipeline_runs};
use cnbi_tests::process::binary;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tempfile::TempDir;

const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const OTHER: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

/// Namespaces for ImageStreams and runs, and a service account with the tasks' RBAC.
struct TestNamespace {
    client: Client,
    namespace: String,
    kubeconfig: PathBuf,
    folder: TempDir,
}

/// The run of one resource.
#[derive(Clone, Copy)]
struct Build<'a> {
    name: &'a str,
    uid: &'a str,
    generation: u32,
    tag: &'a str,
}

const FIRST: Build<'_> = Build {
    name: "pandas",
    uid: "6e0f1a3c-0000-4000-8000-000000000001",
    generation: 1,
    tag: "v1",
};

async fn control_plane() -> &'static ControlPlane {
    crate::cluster_with(&Definitions::Fake).await.unwrap()
}

/// Creates both namespaces; `has_rights`: the account has the tasks' RBAC.
async fn test_ns(control_plane: &ControlPlane, test: &str, has_rights: bool) -> TestNamespace {
    let namespace = test.replace('_', "-");
    let kubectl = async |args: &[&str]| control_plane.kubectl().args(args).ok().await.unwrap();
    kubectl(&["create", "namespace", &namespace]).await;
    kubectl(&["-n", &namespace, "create", "serviceaccount", "trusted"]).await;
    let client = control_plane.client().await.unwrap();
    if has_rights {
        // Created explicitly, because kubectl rejects unknown kinds.
        let grant = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
        let role = json!({"metadata": {"name": "trusted"}, "rules": [
            grant("image.openshift.io", &["imagestreams"], &["get", "create", "patch"]),
            grant("image.openshift.io", &["imagestreams/status"], &["patch"]),
            grant("tekton.dev", &["pipelineruns", "taskruns"], &["get"]),
        ]});
        let binding = json!({
            "metadata": {"name": "trusted"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "trusted"},
            "subjects": [{"kind": "ServiceAccount", "name": "trusted", "namespace": namespace}],
        });
        let roles: Api<Role> = Api::namespaced(client.clone(), &namespace);
        let role = serde_json::from_value(role).unwrap();
        roles.create(&PostParams::default(), &role).await.unwrap();
        let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), &namespace);
        let binding = serde_json::from_value(binding).unwrap();
        bindings.create(&PostParams::default(), &binding).await.unwrap();
    }
    // The run that creates streams. Without the kinds of Tekton it cannot exist, and the step never reads it.
    if let Err(error) = begin(&client, &namespace, "run-0").await {
        assert!(
            matches!(&error, kube::Error::Api(status) if status.code == 404),
            "{error}"
        );
    }
    TestNamespace {
        client,
        kubeconfig: control_plane
            .service_account_kubeconfig(&namespace, "trusted")
            .await
            .unwrap(),
        namespace,
        folder: tempfile::tempdir().unwrap(),
    }
}

impl TestNamespace {
    /// Exit code, reason and message.
    async fn step(&self, verb: &str, build: Build<'_>, run: &str, asked: &Value) -> (Option<i32>, String, String) {
        let output = self.run(verb, build, run, asked).await;
        let read = |name: &str| std::fs::read_to_string(self.folder.path().join(name)).unwrap();
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code(), read("reason"), read("message"))
    }

    async fn run(&self, verb: &str, build: Build<'_>, run: &str, asked: &Value) -> Output {
        let mut command = tokio::process::Command::new(binary("cnbi-step").unwrap());
        command
            .args(["--results", path(self.folder.path()), "imagestream", verb])
            .args(["--resource-namespace", "team-a", "--resource-name", build.name])
            .args(["--resource-uid", build.uid])
            .args(["--resource-generation", &build.generation.to_string()])
            .args(["--target-namespace", &self.namespace, "--tag", build.tag])
            .args(["--run", run])
            .args(["--request", &STANDARD.encode(asked.to_string())])
            .env_clear()
            .env("KUBECONFIG", &self.kubeconfig);
        command.output().await.unwrap()
    }

    async fn create(&self, build: Build<'_>) -> (Option<i32>, String, String) {
        self.create_in(build, "run-0").await
    }

    async fn create_in(&self, build: Build<'_>, run: &str) -> (Option<i32>, String, String) {
        self.step("create", build, run, &asked()).await
    }

    async fn update(&self, build: Build<'_>, run: &str) -> (Option<i32>, String, String) {
        self.step("update", build, run, &asked()).await
    }

    /// Simulates a run of an import to its end.
    async fn simulate_run(&self, name: &str, scenario: Scenario) {
        begin(&self.client, &self.namespace, name).await.unwrap();
        let tekton = FakeTekton::new(self.client.clone(), &self.namespace);
        tekton.simulate(name, scenario).await.unwrap();
    }

    async fn stream(&self, name: &str) -> Option<Value> {
        let streams = image_streams(&self.client, &self.namespace);
        let stream = streams.get_opt(name).await.unwrap()?;
        Some(serde_json::to_value(stream).unwrap())
    }

    async fn patch(&self, name: &str, patch: Value) {
        let streams = image_streams(&self.client, &self.namespace);
        streams
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    async fn delete(&self, name: &str) {
        let streams = image_streams(&self.client, &self.namespace);
        streams.delete(name, &DeleteParams::default()).await.unwrap();
    }
}

/// Creates a run of an import that is not simulated.
async fn begin(client: &Client, namespace: &str, name: &str) -> kube::Result<()> {
    let run = json!({
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": {"name": name},
        "spec": {"pipelineRef": {"name": "cnbi-import"}},
    });
    let run = serde_json::from_value(run).unwrap();
    let runs = pipeline_runs(client, namespace);
    runs.create(&PostParams::default(), &run).await.map(drop)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn tasks() -> Tasks {
    Tasks::new(&["create-imagestream", "setup", "validate"], &["update-imagestream"])
}

fn success(digest: &str, uid: &str) -> Scenario {
    Scenario::succeeds(&tasks())
        .with_task_result("create-imagestream", "stream-uid", uid)
        .with_task_result("setup", "digest", digest)
        .with_task_result("setup", "reference", &format!("quay.io/thoth/pandas@{digest}"))
        .with_task_result("validate", "software", r#"[{"name":"Python","version":"v3.11"}]"#)
        .with_task_result("validate", "python-dependencies", "not JSON")
}

fn asked() -> Value {
    json!({
        "displayName": "Pandas \"quoted\" $(rm -rf /)",
        "description": "line\nline --flag `x` ${HOME}",
        "fromImage": "quay.io/thoth/pandas:v1",
    })
}

fn uid(stream: &Value) -> &str {
    stream["metadata"]["uid"].as_str().unwrap()
}

fn done() -> (Option<i32>, String, String) {
    (Some(0), String::new(), String::new())
}

#[tokio::test]
async fn an_image_stream_has_the_metadata_that_open_data_hub_reads() {
    let test_ns = test_ns(control_plane().await, "reads", true).await;
    assert_eq!(test_ns.create(FIRST).await, done());
    let stream = test_ns.stream("pandas").await.unwrap();
    assert_eq!(
        std::fs::read_to_string(test_ns.folder.path().join("stream-uid")).unwrap(),
        uid(&stream)
    );
    let (labels, annotations) = (&stream["metadata"]["labels"], &stream["metadata"]["annotations"]);
    // Not selectable yet; an empty list of tags would break the dashboard.
    assert_eq!(labels["opendatahub.io/notebook-image"], "false");
    assert_eq!(stream["spec"], json!({"lookupPolicy": {"local": true}}));
    assert_eq!(annotations["opendatahub.io/notebook-image-phase"], "Validating");

    test_ns.simulate_run("run-1", success(DIGEST, uid(&stream))).await;
    assert_eq!(test_ns.update(FIRST, "run-1").await, done());
    let stream = test_ns.stream("pandas").await.unwrap();
    let (labels, annotations) = (&stream["metadata"]["labels"], &stream["metadata"]["annotations"]);
    assert_eq!(
        *labels,
        json!({
            "opendatahub.io/notebook-image": "true", "opendatahub.io/dashboard": "true",
            "app.kubernetes.io/created-by": "byon", "app.kubernetes.io/managed-by": "cnbi-pipelines",
            "meteor.zone/uid": FIRST.uid,
        })
    );
    assert_eq!(
        *annotations,
        json!({
            "meteor.zone/owned-by": "team-a/pandas", "meteor.zone/generation": "1",
            "opendatahub.io/notebook-image-name": "Pandas \"quoted\" $(rm -rf /)",
            "opendatahub.io/notebook-image-desc": "line\nline --flag `x` ${HOME}",
            "opendatahub.io/notebook-image-url": "quay.io/thoth/pandas:v1",
            "opendatahub.io/notebook-image-phase": "Succeeded",
            "opendatahub.io/notebook-image-messages": "[]",
        })
    );
    let reference = format!("quay.io/thoth/pandas@{DIGEST}");
    assert_eq!(
        stream["spec"]["tags"],
        json!([{
            "name": "v1",
            "annotations": {
                "opendatahub.io/notebook-software": r#"[{"name":"Python","version":"v3.11"}]"#,
                // The image's output could not be parsed.
                "opendatahub.io/notebook-python-dependencies": "[]",
                "openshift.io/imported-from": "quay.io/thoth/pandas:v1",
            },
            "from": {"kind": "DockerImage", "name": reference},
            "referencePolicy": {"type": "Source"},
        }])
    );
    let told = &stream["status"]["tags"][0];
    assert_eq!(told["tag"], "v1");
    assert_eq!(told["items"][0]["image"], DIGEST);
    assert_eq!(told["items"][0]["dockerImageReference"], reference);

    // Running it again changes nothing.
    let before = stream["metadata"]["resourceVersion"].clone();
    assert_eq!(test_ns.update(FIRST, "run-1").await, done());
    let stream = test_ns.stream("pandas").await.unwrap();
    assert_eq!(stream["spec"]["tags"].as_array().unwrap().len(), 1);
    assert_eq!(stream["metadata"]["resourceVersion"], before);
}

#[tokio::test]
async fn the_newest_tag_is_first_and_older_ones_stay() {
    let test_ns = test_ns(control_plane().await, "newest", true).await;
    test_ns.create(FIRST).await;
    let of = test_ns.stream("pandas").await.unwrap();
    test_ns.simulate_run("run-1", success(DIGEST, uid(&of))).await;
    assert_eq!(test_ns.update(FIRST, "run-1").await, done());
    let old = test_ns.stream("pandas").await.unwrap()["spec"]["tags"][0].clone();

    let second = Build {
        generation: 2,
        tag: "v2",
        ..FIRST
    };
    assert_eq!(test_ns.create(second).await, done());
    let building = test_ns.stream("pandas").await.unwrap();
    assert_eq!(building["metadata"]["labels"]["opendatahub.io/notebook-image"], "true");
    assert_eq!(building["spec"]["tags"], json!([old]));
    // Meanwhile, the admin hides it from the spawner.
    let hidden = json!({"metadata": {"labels": {"opendatahub.io/notebook-image": "false"}}});
    test_ns.patch("pandas", hidden).await;
    test_ns.simulate_run("run-2", success(OTHER, uid(&of))).await;
    assert_eq!(test_ns.update(second, "run-2").await, done());
    let stream = test_ns.stream("pandas").await.unwrap();
    let names: Vec<_> = stream["spec"]["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| &tag["name"])
        .collect();
    assert_eq!(names, ["v2", "v1"]);
    assert_eq!(stream["spec"]["tags"][1], old);
    assert_eq!(stream["metadata"]["labels"]["opendatahub.io/notebook-image"], "false");
    assert_eq!(stream["status"]["tags"].as_array().unwrap().len(), 2);

    // A run of the first generation is too late.
    let (code, reason, message) = test_ns.update(FIRST, "run-1").await;
    assert_eq!((code, reason.as_str()), (Some(1), "ImageStreamConflict"));
    assert!(message.contains("was already written for generation 2"), "{message}");
}

#[tokio::test]
async fn a_failure_is_recorded_and_removes_no_tag() {
    let test_ns = test_ns(control_plane().await, "failure", true).await;
    test_ns.create(FIRST).await;
    let of = test_ns.stream("pandas").await.unwrap();
    let failure = TaskFailure::reported("inspect", "ImageNotFound", "There is no\nquay.io/\"x\":v1");
    test_ns
        .simulate_run("run-1", Scenario::fails_at(&tasks(), "setup", failure).unwrap())
        .await;
    assert_eq!(test_ns.update(FIRST, "run-1").await, done());
    let stream = test_ns.stream("pandas").await.unwrap();
    let annotations = &stream["metadata"]["annotations"];
    assert_eq!(annotations["opendatahub.io/notebook-image-phase"], "Failed");
    let messages = annotations["opendatahub.io/notebook-image-messages"].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(messages).unwrap(),
        json!([{"severity": "error", "message": "ImageNotFound in task setup: There is no quay.io/\"x\":v1"}])
    );
    assert_eq!(stream["spec"]["tags"], Value::Null);

    test_ns.simulate_run("run-2", success(DIGEST, uid(&of))).await;
    assert_eq!(test_ns.update(FIRST, "run-2").await, done());
    // A task may report only the results in the contract.
    let failure = TaskFailure::reported("probe", "RequiredSecretMissing", "x");
    test_ns
        .simulate_run("run-3", Scenario::fails_at(&tasks(), "validate", failure).unwrap())
        .await;
    assert_eq!(test_ns.update(FIRST, "run-3").await, done());
    let stream = test_ns.stream("pandas").await.unwrap();
    let messages = &stream["metadata"]["annotations"]["opendatahub.io/notebook-image-messages"];
    assert!(
        messages.as_str().unwrap().contains("ImageInvalid in task validate: x"),
        "{messages}"
    );
    assert_eq!(stream["spec"]["tags"].as_array().unwrap().len(), 1);
    assert_eq!(stream["status"]["tags"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn image_streams_of_other_owners_are_not_changed() {
    let test_ns = test_ns(control_plane().await, "others", true).await;
    let streams = image_streams(&test_ns.client, &test_ns.namespace);
    for (name, annotations) in [
        ("bare", json!({})),
        ("pandas", json!({"meteor.zone/owned-by": "team-b/pandas"})),
    ] {
        let stream = json!({
            "apiVersion": "image.openshift.io/v1", "kind": "ImageStream",
            "metadata": {"name": name, "annotations": annotations}, "spec": {"tags": [{"name": "mine"}]},
        });
        let stream = serde_json::from_value(stream).unwrap();
        streams.create(&PostParams::default(), &stream).await.unwrap();
        let before = test_ns.stream(name).await;
        let build = Build { name, ..FIRST };
        let (code, reason, message) = test_ns.create(build).await;
        assert_eq!((code, reason.as_str()), (Some(1), "ImageStreamConflict"));
        assert!(message.contains("belongs to another resource or user"), "{message}");
        assert_eq!(test_ns.stream(name).await, before);
    }
}

#[tokio::test]
async fn a_late_update_does_not_recreate_a_deleted_image_stream() {
    let test_ns = test_ns(control_plane().await, "late", true).await;
    test_ns.create(FIRST).await;
    let of = test_ns.stream("pandas").await.unwrap();
    test_ns.simulate_run("run-1", success(DIGEST, uid(&of))).await;
    test_ns.delete("pandas").await;
    let (code, reason, message) = test_ns.update(FIRST, "run-1").await;
    assert_eq!((code, reason.as_str()), (Some(1), "ImageStreamConflict"));
    assert!(message.ends_with("was deleted during the run"), "{message}");
    assert_eq!(test_ns.stream("pandas").await, None);

    test_ns.create(FIRST).await;
    let (code, reason, message) = test_ns.update(FIRST, "run-1").await;
    assert_eq!((code, reason.as_str()), (Some(1), "ImageStreamConflict"));
    assert!(
        message.ends_with("was deleted and recreated during the run"),
        "{message}"
    );
    assert_eq!(test_ns.stream("pandas").await.unwrap()["spec"]["tags"], Value::Null);

    // A later resource of the same name has taken it over.
    let successor = Build {
        uid: "6e0f1a3c-0000-4000-8000-000000000002",
        ..FIRST
    };
    assert_eq!(test_ns.create(successor).await, done());
    let (_, reason, message) = test_ns.update(FIRST, "run-1").await;
    assert_eq!(reason, "ImageStreamConflict");
    assert!(message.contains("taken over by a newer resource"), "{message}");
}

#[tokio::test]
async fn a_cancelled_run_creates_and_adopts_no_image_stream() {
    let test_ns = test_ns(control_plane().await, "ended", true).await;
    let runs = pipeline_runs(&test_ns.client, &test_ns.namespace);
    for name in ["cancelled", "deleted"] {
        begin(&test_ns.client, &test_ns.namespace, name).await.unwrap();
    }
    // Other finalizers keep runs until they are archived, as in Tekton Chains and Results.
    let held = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/held"]}}));
    runs.patch("deleted", &PatchParams::default(), &held).await.unwrap();
    runs.delete("deleted", &DeleteParams::default()).await.unwrap();
    let cancel = Patch::Merge(json!({"spec": {"status": "Cancelled"}}));
    runs.patch("cancelled", &PatchParams::default(), &cancel).await.unwrap();
    let successor = Build {
        uid: "6e0f1a3c-0000-4000-8000-000000000002",
        ..FIRST
    };
    for begun_anew in [false, true] {
        if begun_anew {
            assert_eq!(test_ns.create(successor).await, done());
        }
        let before = test_ns.stream("pandas").await;
        assert_eq!(before.is_some(), begun_anew);
        for (run, told) in [
            ("cancelled", "is not written, because the run was cancelled"),
            ("deleted", "is not written, because the run was deleted"),
            ("never-there", "is not written, because the run was deleted"),
        ] {
            let (code, reason, message) = test_ns.create_in(FIRST, run).await;
            assert_eq!((code, reason.as_str()), (Some(1), "ImageStreamConflict"), "{run}");
            assert!(message.ends_with(told), "{run}: {message}");
            assert_eq!(test_ns.stream("pandas").await, before, "{run}");
        }
    }
}

#[tokio::test]
async fn missing_permissions_and_a_missing_api_are_reported() {
    let strange = test_ns(control_plane().await, "no-rights", false).await;
    let (code, reason, message) = strange.create(FIRST).await;
    assert_eq!((code, reason.as_str()), (Some(1), "ImageStreamCreateFailed"));
    assert!(
        message.contains("ask the admin to install CNBi's role there"),
        "{message}"
    );

    let bare = ControlPlane::start().await.unwrap();
    let bare = test_ns(&bare, "no-kind", true).await;
    let (code, reason, _) = bare.create(FIRST).await;
    assert_eq!((code, reason.as_str()), (Some(1), "ImageStreamApiMissing"));
}
