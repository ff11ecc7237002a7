//! Operation: configuration changes at run time, and an outage of the webhook.

use anyhow::{Context as _, Result};
use serde_json::json;

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::fake_tekton::RunOutcome;
use cnbi_tests::installation::shipped;

use super::narrator::Narrator;
use super::{NAMESPACE, Tour, WITHIN, fake_runs, manifest, text};

/// Turns the warning CNB104 into an error.
const TIGHTENED: &str = "targetNamespace: {default: opendatahub}\nrules: {CNB104: Deny}\n";

/// A configuration with a misspelled key.
const SLIP: &str = "targetNamespace: {defualt: opendatahub}\n";

pub(super) async fn chapters(tour: &mut Tour<'_>, control_plane: &ControlPlane) -> Result<()> {
    policy(tour).await?;
    outage(tour, control_plane).await
}

async fn policy(tour: &mut Tour<'_>) -> Result<()> {
    let system = tour.installation.namespace().to_owned();
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "Configuration changes need no restart",
        "The admin turns the warning about `latest` into an error.",
    );
    let set = |yaml: &str| json!({"data": {"config.yaml": yaml}}).to_string();
    let patch = |yaml: &str| ["-n", &system, "patch", "configmap", "cnbi-config", "-p", &set(yaml)].map(str::to_owned);
    let tightened = patch(TIGHTENED);
    let answer = narrator.kubectl(&tightened.each_ref().map(String::as_str)).await?;
    narrator.claim("the ConfigMap is accepted", answer.success);

    let fresh = text("latest.yaml")?.replace("name: moving-target", "name: another");
    let create = ["create", "--dry-run=server", "-f", "-"];
    let in_force = narrator
        .until(&create, Some(&fresh), |answer| answer.stderr.contains("[CNB104]"))
        .await?;
    narrator.claim("the new configuration is active without a restart", in_force);
    let answer = narrator.with_input(&["create", "-f", "-"], Some(&fresh)).await?;
    narrator.claim(
        "a new resource with `latest` is rejected",
        !answer.success && answer.stderr.contains("[CNB104]"),
    );

    Narrator::say("\nExisting resources with `latest` can still be changed; users get a warning instead.");
    let secret = r#"{"spec": {"imagePullSecret": {"name": "private-registry-credentials"}}}"#;
    let answer = narrator
        .kubectl(&["patch", "cnbi", "moving-target", "--type=merge", "-p", secret])
        .await?;
    narrator.claim("an update of the existing resource is accepted", answer.success);
    narrator.claim(
        "kubectl shows a warning",
        answer.stderr.contains("Warning: spec.fromImage"),
    );
    let wait = [
        "wait",
        "--for=condition=WellFormed=false",
        "--timeout=30s",
        "cnbi/moving-target",
    ];
    let answer = narrator.kubectl(&wait).await?;
    narrator.claim("the controller sets WellFormed to False", answer.success);
    let condition = "jsonpath={.status.conditions[?(@.type==\"WellFormed\")].message}{\"\\n\"}";
    let answer = narrator
        .kubectl(&["get", "cnbi", "moving-target", "-o", condition])
        .await?;
    narrator.claim("its message names the field", answer.stdout.contains("spec.fromImage"));

    Narrator::say("\nA misspelled key in the configuration is rejected when it is written.");
    let slip = patch(SLIP);
    let answer = narrator.kubectl(&slip.each_ref().map(String::as_str)).await?;
    narrator.claim(
        "the ConfigMap is rejected, and the message names the key",
        !answer.success && answer.stderr.contains("defualt"),
    );
    Ok(())
}

async fn outage(tour: &mut Tour<'_>, control_plane: &ControlPlane) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "The webhook is down",
        "No resource is admitted without checks, and resources can still be deleted.",
    );
    let webhook = tour.webhook.take().context("the webhook does not run")?;
    let status = webhook.into_process().terminate(WITHIN).await?;
    Narrator::say(&format!("\n(cnbi-webhook gets SIGTERM, as in a rollout: {status})"));
    narrator.claim("it exits with code 0", status.success());

    let answer = narrator
        .kubectl(&["apply", "-f", &manifest("latest.yaml"), "--namespace", "default"])
        .await?;
    narrator.claim("a new resource is rejected", !answer.success);
    narrator.claim(
        "the response contains the reason",
        answer.stderr.contains("failed calling webhook"),
    );

    let uid = narrator.uid("bare").await?;
    let run = fake_runs::next_run(control_plane, &uid).await?;
    let held = fake_runs::hold(control_plane, &run).await?;
    let answer = narrator.kubectl(&["delete", "cnbi", "bare", "--timeout=60s"]).await?;
    narrator.claim(
        "a resource can still be deleted, and its finalizer is removed",
        answer.success,
    );
    let outcome = held.await.context("simulating the run")??;
    narrator.claim("its run was cancelled first", outcome == RunOutcome::Cancelled);

    let mut webhook = tour.installation.start(shipped::WEBHOOK).await?;
    webhook.ready(WITHIN).await?;
    tour.webhook = Some(webhook);
    Narrator::say("\n(cnbi-webhook runs again)");
    let answer = narrator.kubectl(&["apply", "-f", &manifest("bare.yaml")]).await?;
    narrator.claim("resources are accepted again", answer.success);
    narrator
        .kubectl(&["get", "cnbi", "--namespace", NAMESPACE, "-o", "wide"])
        .await?;
    Ok(())
}
