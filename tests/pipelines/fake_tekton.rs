//! The fake of Tekton and OpenShift writes the same objects and statuses as the originals.
//!
//! Every test runs with the fake definitions, and again with Tekton's own if `CNBI_TEKTON_CRDS` names them. The CNBi controller
//! does not run here.

use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::fake_tekton::image_import::{self, Import};
use cnbi_tests::fake_tekton::scenario::{Action, Scenario, TaskFailure, Tasks};
use cnbi_tests::fake_tekton::{Definitions, image_streams, install_from, pipeline_runs, task_runs};
use cnbi_tests::fake_tekton::{FakeTekton, RunOutcome};
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::oneshot;

type Outcomes<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The garbage collector discovers new kinds every 30 seconds; the rest allows for a busy machine.
const WITHIN: Duration = Duration::from_secs(120);

/// A namespace on a control plane with the definitions under test.
struct TestNamespace {
    client: Client,
    namespace: String,
}

/// The source of the definitions. Each source has a separate control plane.
#[derive(Clone, Copy, Debug)]
enum Kinds {
    Fake,
    Tekton,
}

impl Kinds {
    /// None if Tekton's definitions are not given.
    async fn test_ns(self, test: &str) -> Outcomes<Option<TestNamespace>> {
        let definitions = match (self, Definitions::from_env()) {
            (Self::Fake, _) => Definitions::Fake,
            (Self::Tekton, Definitions::Fake) => return Ok(None),
            (Self::Tekton, definitions) => definitions,
        };
        let control_plane = crate::cluster_with(&definitions).await?;
        let namespace = test.replace('_', "-");
        let create = ["create", "namespace", &namespace];
        control_plane.kubectl().args(create).ok().await?;
        let client = control_plane.client().await?;
        Ok(Some(TestNamespace { client, namespace }))
    }
}

/// Runs a test with the fake definitions, and again with Tekton's own. If those are not given, prints the name of the skipped
/// test even if the output of passed tests is hidden.
async fn with_both<F: Future<Output = Outcomes>>(name: &str, test: impl Fn(TestNamespace) -> F) -> Outcomes {
    let stages = tokio::try_join!(Kinds::Fake.test_ns(name), Kinds::Tekton.test_ns(name))?;
    let with_fakes = stages.0.ok_or("stand-ins are always there")?;
    eprintln!("with {:?}", Kinds::Fake);
    test(with_fakes).await?;
    if let Some(tektons) = stages.1 {
        eprintln!("with {:?}", Kinds::Tekton);
        return test(tektons).await;
    }
    let told = format!("NOT REPEATED with Tekton's own definitions, as CNBI_TEKTON_CRDS names no file: {name}\n");
    Ok(std::io::stderr().write_all(told.as_bytes())?)
}

macro_rules! with_both {
    ($($test:ident),* $(,)?) => {
        mod with_fakes {
            $(#[tokio::test]
            async fn $test() -> super::Outcomes {
                super::with_both(stringify!($test), super::$test).await
            })*
        }
    };
}

with_both!(
    a_success_reads_like_tektons,
    a_failure_names_its_task_and_its_reason,
    every_sort_of_failure_has_tektons_reason,
    a_run_that_never_starts_has_no_tasks,
    a_cancelled_run_ends_at_once,
    a_deleted_run_takes_everything_along,
    what_tektons_webhook_refuses_is_refused,
    a_play_is_of_one_run_only,
    every_run_of_a_namespace_can_be_played,
    an_import_shows_in_the_stream,
);

fn tasks() -> Tasks {
    Tasks::new(&["create-imagestream", "setup", "validate"], &["update-imagestream"])
}

fn run(name: &str) -> Value {
    json!({
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
        "metadata": {
            "name": name, "labels": {"meteor.zone/uid": "u-1"},
            "annotations": {"opendatahub.io/notebook-image-desc": "for $(params.people)"},
        },
        "spec": {
            "pipelineRef": {"name": "cnbi-import"},
            "params": [{"name": "tag", "value": "v1"}, {"name": "request", "value": ["eyJ9", "fQ=="]}],
            "timeouts": {"pipeline": "30m0s"},
            "taskRunTemplate": {"serviceAccountName": "trusted", "podTemplate": {"nodeSelector": {"a": "b"}}},
            "taskRunSpecs": [{
                "pipelineTaskName": "validate", "serviceAccountName": "untrusted", "timeout": "5m0s",
                "podTemplate": {"automountServiceAccountToken": false, "imagePullSecrets": [{"name": "pull"}]},
                "computeResources": {"limits": {"memory": "1Gi"}},
            }],
            "workspaces": [
                {"name": "dockerconfig", "secret": {"secretName": "pull"}},
                {"name": "work", "volumeClaimTemplate": {"spec": {
                    "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}},
            ],
        },
    })
}

impl TestNamespace {
    fn tekton(&self) -> FakeTekton {
        FakeTekton::new(self.client.clone(), &self.namespace)
    }

    fn runs(&self) -> Api<DynamicObject> {
        pipeline_runs(&self.client, &self.namespace)
    }

    async fn create(&self, run: &Value) -> Result<Value, kube::Error> {
        let object = serde_json::from_value(run.clone()).map_err(kube::Error::SerdeError)?;
        let made = self.runs().create(&PostParams::default(), &object).await?;
        serde_json::to_value(made).map_err(kube::Error::SerdeError)
    }

    async fn read(&self, name: &str) -> Outcomes<Value> {
        Ok(serde_json::to_value(self.runs().get(name).await?)?)
    }

    /// The TaskRun of a task, found by the run's child references like in a controller.
    async fn task_run(&self, run: &Value, task: &str) -> Outcomes<Value> {
        let children = run["status"]["childReferences"].as_array().into_iter().flatten();
        let mut children = children.filter(|child| child["pipelineTaskName"] == task);
        let name = children
            .next()
            .and_then(|child| child["name"].as_str())
            .ok_or("no such child")?;
        let found = task_runs(&self.client, &self.namespace).get(name).await?;
        Ok(serde_json::to_value(found)?)
    }

    /// Simulates a new run, and returns it with its outcome.
    async fn simulate_run(&self, name: &str, scenario: Scenario) -> Outcomes<(Value, RunOutcome)> {
        self.create(&run(name)).await?;
        let outcome = self.tekton().simulate(name, scenario).await?;
        Ok((self.read(name).await?, outcome))
    }

    async fn cancel(&self, name: &str) -> Outcomes {
        let patch = Patch::Merge(json!({"spec": {"status": "Cancelled"}}));
        self.runs().patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }
}

/// Status, reason and message of condition `Succeeded`.
fn told(object: &Value) -> (&str, &str, &str) {
    let condition = &object["status"]["conditions"][0];
    assert_eq!(condition["type"], "Succeeded", "{object}");
    let text = |field: &str| condition[field].as_str().unwrap_or_default();
    (text("status"), text("reason"), text("message"))
}

fn names<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|item| item[field].as_str()).collect()
}

/// The API server's reason for rejecting a request.
fn refusal<T>(answer: Result<T, kube::Error>) -> Outcomes<String> {
    match answer {
        Err(kube::Error::Api(status)) => Ok(format!("{} {}", status.code, status.message)),
        Err(error) => Err(error.into()),
        Ok(_) => Ok("it was not refused".to_owned()),
    }
}

async fn until<F: Future<Output = Outcomes<bool>>>(what: &str, holds: impl Fn() -> F) -> Outcomes {
    let begin = Instant::now();
    while !holds().await? {
        if begin.elapsed() > WITHIN {
            return Err(format!("not within {WITHIN:?}: {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn a_success_reads_like_tektons(test_ns: TestNamespace) -> Outcomes {
    let made = test_ns.create(&run("good")).await?;
    let scenario = Scenario::succeeds(&tasks())
        .with_task_result("setup", "digest", "sha256:1")
        .with_result("digest", "sha256:1");
    let mut simulation = test_ns.tekton().start("good", scenario).await?;
    simulation.next().await?;
    let started = test_ns.read("good").await?;
    assert_eq!(told(&started), ("Unknown", "Started", ""));
    assert_eq!(started["metadata"]["labels"]["tekton.dev/pipeline"], "cnbi-import");

    simulation.until_running("validate").await?;
    let running = test_ns.read("good").await?;
    let message = "Tasks Completed: 2 (Failed: 0, Cancelled 0), Incomplete: 2, Skipped: 0";
    assert_eq!(told(&running), ("Unknown", "Running", message));
    let children = names(&running["status"]["childReferences"], "pipelineTaskName");
    assert_eq!(children, ["create-imagestream", "setup", "validate"]);
    let validate = test_ns.task_run(&running, "validate").await?;
    assert_eq!(told(&validate).1, "Running");

    assert_eq!(simulation.finish().await?, RunOutcome::Ended);
    let ended = test_ns.read("good").await?;
    let message = "Tasks Completed: 4 (Failed: 0, Cancelled 0), Skipped: 0";
    assert_eq!(told(&ended), ("True", "Succeeded", message));
    assert_eq!(
        ended["status"]["results"],
        json!([{"name": "digest", "value": "sha256:1"}])
    );
    let times = ["startTime", "finallyStartTime", "completionTime"].map(|field| ended["status"][field].as_str());
    assert!(times.is_sorted() && times[0].is_some(), "{times:?}");
    assert_eq!(ended["spec"], made["spec"], "only status is written");

    let setup = test_ns.task_run(&ended, "setup").await?;
    assert_eq!(told(&setup).1, "Succeeded");
    let digest = json!([{"name": "digest", "type": "string", "value": "sha256:1"}]);
    assert_eq!(setup["status"]["results"], digest);
    assert_eq!(setup["spec"]["serviceAccountName"], "trusted");

    let validate = test_ns.task_run(&ended, "validate").await?;
    let labels = &validate["metadata"]["labels"];
    for (label, value) in [
        ("tekton.dev/pipeline", "cnbi-import"),
        ("tekton.dev/pipelineRun", "good"),
        ("tekton.dev/pipelineTask", "validate"),
        ("tekton.dev/memberOf", "tasks"),
        ("meteor.zone/uid", "u-1"),
    ] {
        assert_eq!(labels[label], value, "{label}");
    }
    assert_eq!(labels["tekton.dev/pipelineRunUID"], ended["metadata"]["uid"]);
    assert_eq!(validate["metadata"]["annotations"], made["metadata"]["annotations"]);
    let own = &made["spec"]["taskRunSpecs"][0];
    for field in ["serviceAccountName", "timeout", "computeResources"] {
        assert_eq!(validate["spec"][field], own[field], "{field}");
    }
    let pod = &validate["spec"]["podTemplate"];
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "pull"}]));
    assert_eq!(pod["nodeSelector"], json!({"a": "b"}), "what the template says stays");
    let last = test_ns.task_run(&ended, "update-imagestream").await?;
    assert_eq!(last["metadata"]["labels"]["tekton.dev/memberOf"], "finally");
    Ok(())
}

async fn a_failure_names_its_task_and_its_reason(test_ns: TestNamespace) -> Outcomes {
    let tasks = Tasks::new(
        &["create-imagestream", "setup", "validate", "push"],
        &["update-imagestream"],
    );
    let failure = TaskFailure::reported("probe", "ImageInvalid", "no JupyterLab");
    let (failed, outcome) = test_ns
        .simulate_run("bad", Scenario::fails_at(&tasks, "validate", failure)?)
        .await?;
    assert_eq!(outcome, RunOutcome::Ended);
    let message = "Tasks Completed: 4 (Failed: 1, Cancelled 0), Skipped: 1";
    assert_eq!(told(&failed), ("False", "Failed", message));
    let skipped = json!([{"name": "push", "reason": "PipelineRun was stopping"}]);
    assert_eq!(failed["status"]["skippedTasks"], skipped);
    let children = names(&failed["status"]["childReferences"], "pipelineTaskName");
    assert_eq!(
        children,
        ["create-imagestream", "setup", "validate", "update-imagestream"]
    );

    let validate = test_ns.task_run(&failed, "validate").await?;
    let exited = "\"step-probe\" exited with code 1: Error";
    assert_eq!(told(&validate), ("False", "StepFailed", exited));
    let results = json!([
        {"name": "reason", "type": "string", "value": "ImageInvalid"},
        {"name": "message", "type": "string", "value": "no JupyterLab"},
    ]);
    assert_eq!(validate["status"]["results"], results);
    let step = &validate["status"]["steps"][0];
    assert_eq!(
        (&step["name"], &step["terminated"]["exitCode"]),
        (&json!("probe"), &json!(1))
    );
    Ok(())
}

async fn every_sort_of_failure_has_tektons_reason(test_ns: TestNamespace) -> Outcomes {
    let cases = [
        (
            "exit",
            TaskFailure::exit("build", 3),
            "StepFailed",
            "exited with code 3",
        ),
        ("memory", TaskFailure::out_of_memory("build"), "StepOOM", "OOMKilled"),
        (
            "pull",
            TaskFailure::image_pull("build", "quay.io/a/b:v1"),
            "TaskRunImagePullFailed",
            "Back-off pulling image \"quay.io/a/b:v1\"",
        ),
        (
            "evicted",
            TaskFailure::evicted("The node was low on resource: memory."),
            "PodEvicted",
            "The node was low on resource: memory.",
        ),
        (
            "late",
            TaskFailure::timed_out(),
            "TaskRunTimeout",
            "failed to finish within \"5m0s\"",
        ),
    ];
    for (name, failure, reason, message) in cases {
        let scenario = Scenario::fails_at(&tasks(), "validate", failure)?;
        let (failed, _) = test_ns.simulate_run(name, scenario).await?;
        assert_eq!(told(&failed).1, "Failed", "{name}");
        let validate = test_ns.task_run(&failed, "validate").await?;
        let (status, said, text) = told(&validate);
        assert_eq!((status, said), ("False", reason), "{name}");
        assert!(text.contains(message), "{name}: {text}");
    }

    let (late, outcome) = test_ns
        .simulate_run("over", Scenario::times_out_at(&tasks(), "setup")?)
        .await?;
    assert_eq!(outcome, RunOutcome::Ended);
    let message = "PipelineRun \"over\" failed to finish within \"30m0s\"";
    assert_eq!(told(&late), ("False", "PipelineRunTimeout", message));
    let setup = test_ns.task_run(&late, "setup").await?;
    assert_eq!(told(&setup).1, "TaskRunCancelled");
    assert_eq!(setup["spec"]["status"], "TaskRunCancelled");
    let final_task = Scenario::fails_at(&tasks(), "update-imagestream", TaskFailure::exit("write", 1))?;
    let (failed, _) = test_ns.simulate_run("final", final_task).await?;
    assert_eq!(
        told(&failed),
        (
            "False",
            "Failed",
            "Tasks Completed: 4 (Failed: 1, Cancelled 0), Skipped: 0"
        )
    );
    assert!(Scenario::fails_at(&tasks(), "none", TaskFailure::timed_out()).is_err());
    Ok(())
}

async fn a_run_that_never_starts_has_no_tasks(test_ns: TestNamespace) -> Outcomes {
    let (refused, outcome) = test_ns
        .simulate_run("missing", Scenario::pipeline_missing("cnbi-import"))
        .await?;
    assert_eq!(outcome, RunOutcome::Ended);
    let (status, reason, message) = told(&refused);
    assert_eq!((status, reason), ("False", "CouldntGetPipeline"));
    assert!(message.contains("\"cnbi-import\" not found"), "{message}");
    assert!(refused["status"]["childReferences"].is_null() && !refused["status"]["completionTime"].is_null());
    Ok(())
}

async fn a_cancelled_run_ends_at_once(test_ns: TestNamespace) -> Outcomes {
    test_ns.create(&run("stopped")).await?;
    let mut simulation = test_ns
        .tekton()
        .start("stopped", Scenario::hangs_at(&tasks(), "setup")?)
        .await?;
    simulation.until_running("setup").await?;
    assert_eq!(simulation.next().await?, None, "it holds");
    test_ns.cancel("stopped").await?;
    assert_eq!(simulation.finish().await?, RunOutcome::Cancelled);

    let stopped = test_ns.read("stopped").await?;
    assert_eq!(
        told(&stopped),
        ("False", "Cancelled", "PipelineRun \"stopped\" was cancelled")
    );
    let children = names(&stopped["status"]["childReferences"], "pipelineTaskName");
    assert_eq!(children, ["create-imagestream", "setup"], "no final task");
    let done = test_ns.task_run(&stopped, "create-imagestream").await?;
    assert_eq!(told(&done).1, "Succeeded");
    let setup = test_ns.task_run(&stopped, "setup").await?;
    assert_eq!(told(&setup).1, "TaskRunCancelled");
    assert_eq!(setup["spec"]["status"], "TaskRunCancelled");

    // Before the run starts, there is no task to stop.
    test_ns.create(&run("early")).await?;
    test_ns.cancel("early").await?;
    let outcome = test_ns.tekton().simulate("early", Scenario::succeeds(&tasks())).await?;
    assert_eq!(outcome, RunOutcome::Cancelled);
    let early = test_ns.read("early").await?;
    assert_eq!(told(&early).1, "Cancelled");
    assert!(early["status"]["childReferences"].is_null(), "{early}");
    Ok(())
}

async fn a_deleted_run_takes_everything_along(test_ns: TestNamespace) -> Outcomes {
    test_ns.create(&run("gone")).await?;
    let mut simulation = test_ns.tekton().start("gone", Scenario::succeeds(&tasks())).await?;
    simulation.until_running("setup").await?;
    let kind = kube::core::GroupVersionKind::gvk("", "v1", "PersistentVolumeClaim");
    let kind = kube::core::ApiResource::from_gvk(&kind);
    let claims: Api<DynamicObject> = Api::namespaced_with(test_ns.client.clone(), &test_ns.namespace, &kind);
    let volumes = claims.list(&ListParams::default()).await?.items;
    assert_eq!(volumes.len(), 1, "one for the workspace of a template");
    assert!(
        volumes[0]
            .metadata
            .name
            .as_ref()
            .is_some_and(|name| name.starts_with("pvc-"))
    );

    test_ns.runs().delete("gone", &DeleteParams::default()).await?;
    assert_eq!(simulation.finish().await?, RunOutcome::Deleted);
    let children = task_runs(&test_ns.client, &test_ns.namespace);
    until("TaskRuns and volumes go with the run", || async {
        let left = children.list(&ListParams::default()).await?.items.len();
        Ok(left + claims.list(&ListParams::default()).await?.items.len() == 0)
    })
    .await
}

async fn what_tektons_webhook_refuses_is_refused(test_ns: TestNamespace) -> Outcomes {
    let changed = |pointer: &str, value: Value| -> Outcomes<Value> {
        let mut run = run("refused");
        *run.pointer_mut(pointer).ok_or("no such field")? = value;
        Ok(run)
    };
    let reference = "$(tasks.a.results.b)";
    for (pointer, value, why) in [
        ("/metadata/name", json!("x".repeat(64)), "at most 63 characters"),
        (
            "/spec/pipelineRef",
            Value::Null,
            "exactly one of pipelineRef and pipelineSpec",
        ),
        (
            "/spec/params/0/value",
            json!(reference),
            "cannot use result expressions",
        ),
        (
            "/spec/params/1/value/0",
            json!(format!("a{reference}")),
            "cannot use result expressions",
        ),
        ("/spec/params/1/name", json!("tag"), "spec.params: a name twice"),
        (
            "/spec/workspaces/1/name",
            json!("dockerconfig"),
            "spec.workspaces: a name twice",
        ),
        (
            "/spec/workspaces/1/volumeClaimTemplate",
            Value::Null,
            "exactly one source",
        ),
        (
            "/spec/timeouts",
            json!({"pipeline": "1h0m0s", "tasks": "50m", "finally": "20m"}),
            "spec.timeouts",
        ),
        ("/spec/timeouts", json!({"tasks": "2h"}), "spec.timeouts"),
    ] {
        let told = refusal(test_ns.create(&changed(pointer, value)?).await)?;
        assert!(told.starts_with("422 ") && told.contains(why), "{pointer}: {told}");
    }
    for allowed in ["$(params.a)", "$(context.pipelineRun.name)", "$(tasks.a.status)"] {
        let mut run = changed("/spec/params/0/value", json!(allowed))?;
        run["metadata"] = json!({"generateName": "allowed-"});
        test_ns.create(&run).await?;
    }

    test_ns.create(&run("held")).await?;
    let patch = async |patch: Value| {
        test_ns
            .runs()
            .patch("held", &PatchParams::default(), &Patch::Merge(patch))
            .await
    };
    let only = "only status may change";
    for spec in [
        json!({"params": []}),
        json!({"timeouts": {"tasks": "1m0s"}}),
        json!({"managedBy": "x"}),
    ] {
        let told = refusal(patch(json!({"spec": spec})).await)?;
        assert!(told.starts_with("422 ") && told.contains(only), "{spec}: {told}");
    }
    let told = refusal(patch(json!({"spec": {"status": "Stopped"}})).await)?;
    assert!(told.contains("no such status Stopped"), "{told}");
    patch(json!({"metadata": {"labels": {"a": "b"}}})).await?;
    test_ns.tekton().simulate("held", Scenario::succeeds(&tasks())).await?;
    let told = refusal(patch(json!({"spec": {"status": "Cancelled"}})).await)?;
    assert!(
        told.contains("once the run is complete, no updates are allowed"),
        "{told}"
    );
    patch(json!({"metadata": {"labels": {"a": "c"}}})).await?;
    Ok(())
}

async fn a_play_is_of_one_run_only(test_ns: TestNamespace) -> Outcomes {
    // A recreated run of the same name is not changed by the first simulation.
    test_ns.create(&run("twice")).await?;
    let mut simulation = test_ns.tekton().start("twice", Scenario::succeeds(&tasks())).await?;
    simulation.until_running("setup").await?;
    test_ns.runs().delete("twice", &DeleteParams::default()).await?;
    until("the first run is gone", || async {
        Ok(test_ns.runs().get_opt("twice").await?.is_none())
    })
    .await?;
    test_ns.create(&run("twice")).await?;
    assert_eq!(simulation.finish().await?, RunOutcome::Deleted);
    assert!(test_ns.read("twice").await?["status"].is_null());

    // A run that was simulated already is rejected.
    test_ns
        .tekton()
        .simulate("twice", Scenario::refused("ParameterMissing", "tag"))
        .await?;
    let again = test_ns.tekton().start("twice", Scenario::succeeds(&tasks())).await;
    assert!(again.is_err_and(|error| error.to_string().contains("already")));

    // An invalid scenario is rejected.
    test_ns.create(&run("nonsense")).await?;
    let nonsense = Scenario::new(&tasks(), vec![Action::Start, Action::Succeed("setup".to_owned())]);
    let told = test_ns.tekton().simulate("nonsense", nonsense).await;
    let told = format!("{:#}", told.err().ok_or("it made sense")?);
    assert!(told.contains("setup is Waiting and cannot end"), "{told}");
    Ok(())
}

async fn every_run_of_a_namespace_can_be_played(test_ns: TestNamespace) -> Outcomes {
    let labels = "meteor.zone/uid=u-1";
    test_ns.create(&run("first")).await?;
    assert_eq!(test_ns.tekton().wait_for_run(labels).await?, "first");
    let (end, over) = oneshot::channel::<()>();
    let tekton = test_ns.tekton();
    let choose = |run: &Value| match run["metadata"]["name"].as_str() {
        Some("third") => Scenario::refused("ParameterMissing", "tag"),
        _ => Scenario::succeeds(&tasks()),
    };
    let simulations = tekton.simulate_all(choose, async {
        let _ = over.await;
    });
    let test = async {
        for name in ["second", "third"] {
            test_ns.create(&run(name)).await?;
        }
        for (name, reason) in [
            ("first", "Succeeded"),
            ("second", "Succeeded"),
            ("third", "ParameterMissing"),
        ] {
            until(name, || async {
                let run = test_ns.read(name).await?;
                Ok(run["status"]["conditions"][0]["reason"] == reason)
            })
            .await?;
        }
        let _ = end.send(());
        Outcomes::Ok(())
    };
    let (count, tested) = tokio::join!(simulations, test);
    tested?;
    assert!(count? <= 3);
    Ok(())
}

async fn an_import_shows_in_the_stream(test_ns: TestNamespace) -> Outcomes {
    let streams = image_streams(&test_ns.client, &test_ns.namespace);
    let tag = |name: &str, from: &str| json!({"name": name, "from": {"kind": "DockerImage", "name": from}});
    let stream = json!({
        "apiVersion": "image.openshift.io/v1", "kind": "ImageStream", "metadata": {"name": "notebook"},
        "spec": {
            "lookupPolicy": {"local": true},
            "tags": [tag("v1", "registry.example:5000/a/b:v1"), tag("v2", "registry.example:5000/a/b@sha256:0")],
        },
    });
    streams
        .create(&PostParams::default(), &serde_json::from_value(stream)?)
        .await?;
    let simulation = async |tag: &str, import: Import| {
        image_import::simulate(&test_ns.client, &test_ns.namespace, "notebook", tag, &import).await
    };
    simulation("v1", Import::unauthorized("registry.example:5000/a/b:v1")).await?;
    let read = async || -> Outcomes<Value> { Ok(serde_json::to_value(streams.get("notebook").await?)?) };
    let refused = read().await?;
    let shown = &refused["status"]["tags"][0];
    let condition = &shown["conditions"][0];
    assert_eq!((&shown["tag"], &shown["items"]), (&json!("v1"), &Value::Null));
    assert_eq!(
        (&condition["type"], &condition["status"]),
        (&json!("ImportSuccess"), &json!("False"))
    );
    assert_eq!(condition["reason"], "Unauthorized");

    simulation("v1", Import::succeeds("sha256:1")).await?;
    simulation("v2", Import::succeeds("sha256:2")).await?;
    simulation("v1", Import::succeeds("sha256:3")).await?;
    let there = read().await?;
    assert_eq!(names(&there["status"]["tags"], "tag"), ["v2", "v1"]);
    let items = &there["status"]["tags"][1]["items"];
    assert_eq!(names(items, "image"), ["sha256:3", "sha256:1"], "the newest first");
    assert_eq!(items[0]["dockerImageReference"], "registry.example:5000/a/b@sha256:3");
    assert!(there["status"]["tags"][1]["conditions"].is_null());
    simulation("v1", Import::not_found("registry.example:5000/a/b:v1")).await?;
    let later = read().await?;
    let shown = &later["status"]["tags"][1];
    assert_eq!(shown["conditions"][0]["reason"], "NotFound");
    assert_eq!(shown["items"], *items, "what was there stays");
    Ok(())
}

#[tokio::test]
async fn a_simulation_survives_an_api_server_restart() -> Outcomes {
    let control_plane = ControlPlane::start().await?;
    install_from(&control_plane, &Definitions::Fake).await?;
    let test_ns = TestNamespace {
        client: control_plane.client().await?,
        namespace: "default".to_owned(),
    };
    test_ns.create(&run("long")).await?;
    let mut simulation = test_ns.tekton().start("long", Scenario::succeeds(&tasks())).await?;
    simulation.until_running("setup").await?;
    control_plane.stop_api_server().await?;
    let rest = tokio::spawn(simulation.finish());
    control_plane.start_api_server().await?;
    assert_eq!(rest.await??, RunOutcome::Ended);
    assert_eq!(told(&test_ns.read("long").await?).1, "Succeeded");
    Ok(())
}

/// A path that does not exist is an error; otherwise the tests would silently check less.
#[tokio::test]
async fn a_missing_definitions_file_is_an_error() -> Outcomes {
    let control_plane = crate::cluster_with(&Definitions::Fake).await?;
    let missing = Definitions::Tekton(Path::new("/nonexistent/definitions.yaml").to_owned());
    let told = install_from(control_plane, &missing).await;
    let told = told.err().ok_or("it was installed")?.to_string();
    assert_eq!(told, "/nonexistent/definitions.yaml does not exist");
    Ok(())
}
