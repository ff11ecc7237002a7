//! Transient and permanent failures, with short retry intervals.

use cnbi_shared::contract::{IMPORT, PACKAGE_LIST, tasks as names};
use cnbi_tests::fake_tekton::scenario::{Scenario, TaskFailure};
use cnbi_tests::installation::{Installation, Replica, shipped};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::cluster::{BUILDS, Cluster, Result, WITHIN, import, said, tasks, until};

const CONFIGURATION: &str = "targetNamespace: {default: opendatahub}\nretry: {base: 1s, max: 2s, limit: 2}";

async fn shared() -> Result<&'static Cluster> {
    static SHARED: OnceCell<Cluster> = OnceCell::const_new();
    static RUNNING: OnceCell<(Installation<'static>, Replica)> = OnceCell::const_new();
    let told = |error: Box<dyn std::error::Error>| anyhow::Error::msg(error.to_string());
    let cluster = SHARED
        .get_or_try_init(|| async { Cluster::whole().await.map_err(told) })
        .await?;
    RUNNING
        .get_or_try_init(|| async {
            let installation = cluster.install().await.map_err(told)?;
            cluster.configure(CONFIGURATION).await.map_err(told)?;
            let mut controller = installation.start(shipped::CONTROLLER).await?;
            controller.ready(WITHIN).await?;
            Ok::<_, anyhow::Error>((installation, controller))
        })
        .await?;
    Ok(cluster)
}

fn unreachable() -> Result<Scenario> {
    let failure = TaskFailure::reported("setup", "RegistryUnavailable", "quay.io does not answer");
    Ok(Scenario::fails_at(&tasks(&IMPORT), names::SETUP, failure)?)
}

#[tokio::test]
async fn a_transient_failure_is_retried_up_to_the_limit() -> Result {
    let test_ns = shared().await?.test_ns("failures-passing").await?;
    let uid = test_ns.create("passing", import()).await?;
    for _ in 0..2 {
        let run = test_ns.run_of(&uid).await?;
        test_ns.tekton().simulate(&run, unreachable()?).await?;
    }
    let given_up = test_ns
        .until("passing", "Stalled", "True", "RegistryUnavailable")
        .await?;
    assert_eq!(given_up["status"]["pipelineRun"]["attempt"], 2);
    assert_eq!(given_up["status"]["pipelineRun"]["failedTask"], "setup");
    let message = said(&given_up, "Ready")["message"].as_str().unwrap_or_default();
    assert!(message.contains("quay.io does not answer"), "{message}");

    let again = json!({"metadata": {"annotations": {"meteor.zone/retry": "1"}}});
    test_ns.patch("passing", again).await?;
    test_ns.build("passing", &uid, &IMPORT, "v0.2.2").await?;
    let ready = test_ns.until_ready("passing").await?;
    assert_eq!(ready["status"]["pipelineRun"]["attempt"], 3);
    Ok(())
}

#[tokio::test]
async fn a_permanent_failure_reports_its_reason_and_is_not_retried() -> Result {
    let test_ns = shared().await?.test_ns("failures-staying").await?;
    let uid = test_ns.create("staying", import()).await?;
    let run = test_ns.run_of(&uid).await?;
    let failure = TaskFailure::reported("probe", "ImageInvalid", "there is no JupyterLab");
    let scenario = Scenario::fails_at(&tasks(&IMPORT), names::VALIDATE, failure)?;
    test_ns.tekton().simulate(&run, scenario).await?;
    let failed = test_ns
        .until("staying", "ImageValidated", "False", "ImageInvalid")
        .await?;
    assert_eq!(failed["status"]["phase"], "Failed");
    assert_eq!(said(&failed, "Stalled")["reason"], "ImageInvalid");
    let message = said(&failed, "ImageValidated")["message"].as_str().unwrap_or_default();
    assert!(message.contains("there is no JupyterLab"), "{message}");

    let events = test_ns.client.clone();
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("events.k8s.io", "v1", "Event"));
    let events: Api<DynamicObject> = Api::namespaced_with(events, &test_ns.namespace, &kind);
    until("an Event says so too", async || {
        let list = events.list(&ListParams::default()).await?;
        Ok(list.items.iter().any(|event| {
            event.data["reason"] == "ImageInvalid"
                && event.data["regarding"]["name"] == "staying"
                && event.data["type"] == "Warning"
        }))
    })
    .await
}

#[tokio::test]
async fn a_failed_task_run_without_labels_is_read_by_name() -> Result {
    let cluster = shared().await?;
    let test_ns = cluster.test_ns("failures-unlabelled").await?;
    let uid = test_ns.create("unlabelled", import()).await?;
    let run = test_ns.run_of(&uid).await?;
    let failure = TaskFailure::reported("probe", "ImageInvalid", "there is no JupyterLab");
    let scenario = Scenario::fails_at(&tasks(&IMPORT), names::VALIDATE, failure)?;
    let mut simulation = test_ns.tekton().start(&run, scenario).await?;
    simulation.until_running(names::VALIDATE).await?;
    // Without the label, the controller ignores the TaskRun; the next event it observes is the end of the run.
    let of_task = format!(
        "tekton.dev/pipelineRun={run},tekton.dev/pipelineTask={}",
        names::VALIDATE
    );
    cluster
        .kubectl(&["-n", BUILDS, "label", "taskruns", "-l", &of_task, "meteor.zone/uid-"])
        .await?;
    simulation.finish().await?;
    let failed = test_ns
        .until("unlabelled", "ImageValidated", "False", "ImageInvalid")
        .await?;
    let message = said(&failed, "ImageValidated")["message"].as_str().unwrap_or_default();
    assert!(message.contains("there is no JupyterLab"), "{message}");
    Ok(())
}

#[tokio::test]
async fn an_exhausted_quota_is_reported_and_retried() -> Result {
    let cluster = shared().await?;
    // Parallel tests also hit the quota and wait until it is removed.
    let test_ns = cluster.test_ns("failures-quota").await?;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": BUILDS},
        "spec": {"hard": {"count/pipelineruns.tekton.dev": "0"}},
    });
    cluster.apply(&quota).await?;
    // Simulates the quota controller, which does not run here.
    let counted = json!({"status": {
        "hard": {"count/pipelineruns.tekton.dev": "0"}, "used": {"count/pipelineruns.tekton.dev": "0"},
    }});
    let patch = [
        "-n",
        BUILDS,
        "patch",
        "resourcequota",
        "none",
        "--subresource=status",
        "--type=merge",
        "-p",
    ];
    cluster.kubectl(&[&patch[..], &[&counted.to_string()]].concat()).await?;
    test_ns.create("quota", import()).await?;
    let told = test_ns
        .until("quota", "PipelineRunCreated", "False", "QuotaExceeded")
        .await;
    cluster
        .kubectl(&["-n", BUILDS, "delete", "resourcequota", "none"])
        .await?;
    assert_eq!(said(&told?, "Reconciling")["status"], "True");
    test_ns
        .until("quota", "PipelineRunCreated", "True", "RunCreated")
        .await?;
    Ok(())
}

#[tokio::test]
async fn the_volume_of_an_ended_run_is_deleted_and_its_record_stays() -> Result {
    let cluster = shared().await?;
    let test_ns = cluster.test_ns("failures-volume").await?;
    let packages = json!({"buildType": "PackageList", "builderImage": "quay.io/a/b:v1", "packageVersions": ["pandas"]});
    let uid = test_ns.create("volume", packages).await?;
    let run = test_ns.run_of(&uid).await?;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "PersistentVolumeClaim"));
    let claims: Api<DynamicObject> = Api::namespaced_with(test_ns.client.clone(), BUILDS, &kind);
    let of_run = ListParams::default().labels(&format!("meteor.zone/run={run}"));
    let mut simulation = test_ns
        .tekton()
        .start(&run, crate::cluster::success(&PACKAGE_LIST))
        .await?;
    simulation.until_running("prepare").await?;
    let claim = claims.list(&of_run).await?.items.pop().ok_or("no volume")?;
    // The Pod as Tekton creates it; without nodes it never runs, but still uses the volume.
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("{run}-prepare-pod"), "namespace": BUILDS, "labels": {
            "meteor.zone/uid": uid, "tekton.dev/pipelineRun": run, "tekton.dev/pipelineTask": "prepare",
        }},
        "spec": {
            "serviceAccountName": "cnbi-untrusted", "automountServiceAccountToken": false,
            "containers": [{"name": "step-prepare", "image": "cnbi-tools"}],
            "volumes": [{"name": "work", "persistentVolumeClaim": {"claimName": claim.metadata.name}}],
        },
    });
    cluster.apply(&pod).await?;
    simulation.until_running("update-imagestream").await?;
    test_ns.publish("volume", "v1").await?;
    simulation.finish().await?;
    test_ns.until_ready("volume").await?;
    until("the volume is gone", async || {
        Ok(claims.list(&of_run).await?.items.is_empty())
    })
    .await?;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
    let pods: Api<DynamicObject> = Api::namespaced_with(test_ns.client.clone(), BUILDS, &kind);
    let of_run = ListParams::default().labels(&format!("tekton.dev/pipelineRun={run}"));
    assert_eq!(pods.list(&of_run).await?.items.len(), 0);
    assert_eq!(test_ns.runs_of(&uid).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn objects_named_by_the_configuration_are_waited_for() -> Result {
    let cluster = Cluster::whole().await?;
    let installation = cluster.install().await?;
    cluster
        .configure(
            "targetNamespace: {default: opendatahub}\nsignatures: {policy: Required, keysSecret: keys}\n\
             network: {caConfigMap: authorities}",
        )
        .await?;
    let test_ns = cluster.test_ns("team-a").await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let uid = test_ns.create("signed", import()).await?;
    let waiting = test_ns
        .until("signed", "PipelineRunCreated", "False", "BuildInputMissing")
        .await?;
    let told = said(&waiting, "PipelineRunCreated");
    let message = told["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("Secret keys from the configuration not found in namespace cnbi-builds"),
        "{message}"
    );
    assert_eq!(test_ns.runs_of(&uid).await?.len(), 0);
    cluster
        .kubectl(&[
            "-n",
            BUILDS,
            "create",
            "secret",
            "generic",
            "keys",
            "--from-literal=cosign.pub=x",
        ])
        .await?;
    until("the ConfigMap is missed", async || {
        let waiting = test_ns.read("signed").await?;
        let message = &said(&waiting, "PipelineRunCreated")["message"];
        Ok(message.as_str().is_some_and(|message| {
            message.contains("ConfigMap authorities from the configuration not found in namespace cnbi-builds")
        }))
    })
    .await?;
    let authorities = [
        "-n",
        BUILDS,
        "create",
        "configmap",
        "authorities",
        "--from-literal=ca.crt=x",
    ];
    cluster.kubectl(&authorities).await?;
    test_ns
        .until("signed", "PipelineRunCreated", "True", "RunCreated")
        .await?;
    cluster.assert_nothing_was_forbidden()?;
    Ok(())
}
