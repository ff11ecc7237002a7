//! Failures that pass and failures that stay, on a cluster where waits are short.

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
async fn a_failure_that_may_pass_is_tried_again_and_given_up_in_the_end() -> Result {
    let stage = shared().await?.stage("failures-passing").await?;
    let uid = stage.create("passing", import()).await?;
    for _ in 0..2 {
        let run = stage.run_of(&uid).await?;
        stage.tekton().simulate(&run, unreachable()?).await?;
    }
    let given_up = stage.until("passing", "Stalled", "True", "RegistryUnavailable").await?;
    assert_eq!(given_up["status"]["pipelineRun"]["attempt"], 2);
    assert_eq!(given_up["status"]["pipelineRun"]["failedTask"], "setup");
    let message = said(&given_up, "Ready")["message"].as_str().unwrap_or_default();
    assert!(message.contains("quay.io does not answer"), "{message}");

    let again = json!({"metadata": {"annotations": {"meteor.zone/retry": "1"}}});
    stage.patch("passing", again).await?;
    stage.build("passing", &uid, &IMPORT, "v0.2.2").await?;
    let ready = stage.until_ready("passing").await?;
    assert_eq!(ready["status"]["pipelineRun"]["attempt"], 3);
    Ok(())
}

#[tokio::test]
async fn a_failure_that_stays_says_why_and_waits_for_somebody() -> Result {
    let stage = shared().await?.stage("failures-staying").await?;
    let uid = stage.create("staying", import()).await?;
    let run = stage.run_of(&uid).await?;
    let failure = TaskFailure::reported("probe", "ImageInvalid", "there is no JupyterLab");
    let scenario = Scenario::fails_at(&tasks(&IMPORT), names::VALIDATE, failure)?;
    stage.tekton().simulate(&run, scenario).await?;
    let failed = stage
        .until("staying", "ImageValidated", "False", "ImageInvalid")
        .await?;
    assert_eq!(failed["status"]["phase"], "Failed");
    assert_eq!(said(&failed, "Stalled")["reason"], "ImageInvalid");
    let message = said(&failed, "ImageValidated")["message"].as_str().unwrap_or_default();
    assert!(message.contains("there is no JupyterLab"), "{message}");

    let events = stage.client.clone();
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("events.k8s.io", "v1", "Event"));
    let events: Api<DynamicObject> = Api::namespaced_with(events, &stage.namespace, &kind);
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
async fn a_failed_task_that_has_lost_its_label_is_asked_for_by_its_name() -> Result {
    let cluster = shared().await?;
    let stage = cluster.stage("failures-unlabelled").await?;
    let uid = stage.create("unlabelled", import()).await?;
    let run = stage.run_of(&uid).await?;
    let failure = TaskFailure::reported("probe", "ImageInvalid", "there is no JupyterLab");
    let scenario = Scenario::fails_at(&tasks(&IMPORT), names::VALIDATE, failure)?;
    let mut simulation = stage.tekton().start(&run, scenario).await?;
    simulation.until_running(names::VALIDATE).await?;
    // From here on the controller does not follow it, and the run's end is what it hears of first.
    let of_task = format!(
        "tekton.dev/pipelineRun={run},tekton.dev/pipelineTask={}",
        names::VALIDATE
    );
    cluster
        .kubectl(&["-n", BUILDS, "label", "taskruns", "-l", &of_task, "meteor.zone/uid-"])
        .await?;
    simulation.finish().await?;
    let failed = stage
        .until("unlabelled", "ImageValidated", "False", "ImageInvalid")
        .await?;
    let message = said(&failed, "ImageValidated")["message"].as_str().unwrap_or_default();
    assert!(message.contains("there is no JupyterLab"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_told_and_waited_for() -> Result {
    let cluster = shared().await?;
    // Tests beside this one meet the quota too, and wait for its end as this one does.
    let stage = cluster.stage("failures-quota").await?;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": BUILDS},
        "spec": {"hard": {"count/pipelineruns.tekton.dev": "0"}},
    });
    cluster.apply(&quota).await?;
    // What the quota controller would write, which does not run here.
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
    stage.create("quota", import()).await?;
    let told = stage
        .until("quota", "PipelineRunCreated", "False", "QuotaExceeded")
        .await;
    cluster
        .kubectl(&["-n", BUILDS, "delete", "resourcequota", "none"])
        .await?;
    assert_eq!(said(&told?, "Reconciling")["status"], "True");
    stage.until("quota", "PipelineRunCreated", "True", "RunCreated").await?;
    Ok(())
}

#[tokio::test]
async fn the_volume_of_a_run_that_has_ended_goes_and_its_record_stays() -> Result {
    let cluster = shared().await?;
    let stage = cluster.stage("failures-volume").await?;
    let packages = json!({"buildType": "PackageList", "builderImage": "quay.io/a/b:v1", "packageVersions": ["pandas"]});
    let uid = stage.create("volume", packages).await?;
    let run = stage.run_of(&uid).await?;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "PersistentVolumeClaim"));
    let claims: Api<DynamicObject> = Api::namespaced_with(stage.client.clone(), BUILDS, &kind);
    let of_run = ListParams::default().labels(&format!("meteor.zone/run={run}"));
    let mut simulation = stage
        .tekton()
        .start(&run, crate::cluster::success(&PACKAGE_LIST))
        .await?;
    simulation.until_running("prepare").await?;
    let claim = claims.list(&of_run).await?.items.pop().ok_or("no volume")?;
    // As Tekton would have made it; without nodes it never runs, and holds the volume all the same.
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
    stage.publish("volume", "v1").await?;
    simulation.finish().await?;
    stage.until_ready("volume").await?;
    until("the volume is gone", async || {
        Ok(claims.list(&of_run).await?.items.is_empty())
    })
    .await?;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"));
    let pods: Api<DynamicObject> = Api::namespaced_with(stage.client.clone(), BUILDS, &kind);
    let of_run = ListParams::default().labels(&format!("tekton.dev/pipelineRun={run}"));
    assert_eq!(pods.list(&of_run).await?.items.len(), 0);
    assert_eq!(stage.runs_of(&uid).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_the_configuration_names_is_waited_for() -> Result {
    let cluster = Cluster::whole().await?;
    let installation = cluster.install().await?;
    cluster
        .configure(
            "targetNamespace: {default: opendatahub}\nsignatures: {policy: Required, keysSecret: keys}\n\
             network: {caConfigMap: authorities}",
        )
        .await?;
    let stage = cluster.stage("team-a").await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    controller.ready(WITHIN).await?;
    let uid = stage.create("signed", import()).await?;
    let waiting = stage
        .until("signed", "PipelineRunCreated", "False", "BuildInputMissing")
        .await?;
    let told = said(&waiting, "PipelineRunCreated");
    let message = told["message"].as_str().unwrap_or_default();
    assert!(message.contains("Secret keys in cnbi-builds"), "{message}");
    assert_eq!(stage.runs_of(&uid).await?.len(), 0);
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
        let waiting = stage.read("signed").await?;
        let message = &said(&waiting, "PipelineRunCreated")["message"];
        Ok(message
            .as_str()
            .is_some_and(|message| message.contains("ConfigMap authorities in cnbi-builds")))
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
    stage
        .until("signed", "PipelineRunCreated", "True", "RunCreated")
        .await?;
    cluster.assert_nothing_was_forbidden()?;
    Ok(())
}
