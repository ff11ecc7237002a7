//! What an admin sees: policy that changes live, and an outage that locks nothing.

use anyhow::{Context as _, Result};
use serde_json::json;

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::shipped;
use cnbi_tests::tekton::player::Outcome;

use super::narrator::Narrator;
use super::{NAMESPACE, Tour, WITHIN, manifest, played, text};

/// A policy that refuses what it only warned of before.
const TIGHTENED: &str = "targetNamespace: {default: opendatahub}\nrules: {CNB104: Deny}\n";

/// A policy with a slip in it.
const SLIP: &str = "targetNamespace: {defualt: opendatahub}\n";

pub(super) async fn chapters(tour: &mut Tour<'_>, control_plane: &ControlPlane) -> Result<()> {
    policy(tour).await?;
    outage(tour, control_plane).await
}

async fn policy(tour: &mut Tour<'_>) -> Result<()> {
    let system = tour.installation.namespace().to_owned();
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "Policy changes while everything runs",
        "The admin turns the warning about `latest` into a refusal.",
    );
    let set = |yaml: &str| json!({"data": {"config.yaml": yaml}}).to_string();
    let patch = |yaml: &str| ["-n", &system, "patch", "configmap", "cnbi-config", "-p", &set(yaml)].map(str::to_owned);
    let tightened = patch(TIGHTENED);
    let answer = narrator.kubectl(&tightened.each_ref().map(String::as_str)).await?;
    narrator.claim("the ConfigMap is taken", answer.success);

    let fresh = text("latest.yaml")?.replace("name: moving-target", "name: another");
    let create = ["create", "--dry-run=server", "-f", "-"];
    let in_force = narrator
        .until(&create, Some(&fresh), |answer| answer.stderr.contains("[CNB104]"))
        .await?;
    narrator.claim("the new policy is in force without a restart", in_force);
    let answer = narrator.with_input(&["create", "-f", "-"], Some(&fresh)).await?;
    narrator.claim(
        "a new resource with `latest` is refused",
        !answer.success && answer.stderr.contains("[CNB104]"),
    );

    Narrator::say("\nWhat was there before is not frozen: it can still be changed, and is warned of instead.");
    let secret = r#"{"spec": {"imagePullSecret": {"name": "private-registry-credentials"}}}"#;
    let answer = narrator
        .kubectl(&["patch", "cnbi", "moving-target", "--type=merge", "-p", secret])
        .await?;
    narrator.claim("an update of the old one is accepted", answer.success);
    narrator.claim("with a warning", answer.stderr.contains("Warning: spec.fromImage"));
    let wait = [
        "wait",
        "--for=condition=WellFormed=false",
        "--timeout=30s",
        "cnbi/moving-target",
    ];
    let answer = narrator.kubectl(&wait).await?;
    narrator.claim(
        "and the controller says in status what today's rules find",
        answer.success,
    );
    let condition = "jsonpath={.status.conditions[?(@.type==\"WellFormed\")].message}{\"\\n\"}";
    let answer = narrator
        .kubectl(&["get", "cnbi", "moving-target", "-o", condition])
        .await?;
    narrator.claim("with the field", answer.stdout.contains("spec.fromImage"));

    Narrator::say("\nA slip in the policy is refused when it is written.");
    let slip = patch(SLIP);
    let answer = narrator.kubectl(&slip.each_ref().map(String::as_str)).await?;
    narrator.claim(
        "the ConfigMap is refused, with the place",
        !answer.success && answer.stderr.contains("defualt"),
    );
    Ok(())
}

async fn outage(tour: &mut Tour<'_>, control_plane: &ControlPlane) -> Result<()> {
    let narrator = &mut tour.narrator;
    narrator.chapter(
        "The webhook goes away",
        "Nothing gets in unjudged, and nothing is stuck.",
    );
    let webhook = tour.webhook.take().context("the webhook runs")?;
    let status = webhook.into_process().terminate(WITHIN).await?;
    Narrator::say(&format!(
        "\n(cnbi-webhook is asked to end, as a rollout would: {status})"
    ));
    narrator.claim("it ends with 0", status.success());

    let answer = narrator
        .kubectl(&["apply", "-f", &manifest("latest.yaml"), "--namespace", "default"])
        .await?;
    narrator.claim("a new resource is refused", !answer.success);
    narrator.claim(
        "and the answer says why",
        answer.stderr.contains("failed calling webhook"),
    );

    let uid = narrator.uid("bare").await?;
    let run = played::next_run(control_plane, &uid).await?;
    let held = played::hold(control_plane, &run).await?;
    let answer = narrator.kubectl(&["delete", "cnbi", "bare", "--timeout=60s"]).await?;
    narrator.claim(
        "a resource can still be deleted, its finalizer included",
        answer.success,
    );
    let outcome = held.await.context("playing")??;
    narrator.claim("and its run was ended first", outcome == Outcome::Cancelled);

    let mut webhook = tour.installation.start(shipped::WEBHOOK).await?;
    webhook.ready(WITHIN).await?;
    tour.webhook = Some(webhook);
    Narrator::say("\n(cnbi-webhook is back)");
    let answer = narrator.kubectl(&["apply", "-f", &manifest("bare.yaml")]).await?;
    narrator.claim("and requests are answered again", answer.success);
    narrator
        .kubectl(&["get", "cnbi", "--namespace", NAMESPACE, "-o", "wide"])
        .await?;
    Ok(())
}
