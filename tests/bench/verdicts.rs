//! Checks that the peer gives the same responses: both webhooks get the examples of the rules.

use std::path::Path;

use anyhow::{Context as _, Error, Result, ensure};
use cnbi_shared::rules::examples::{Example, NAMESPACE};
use cnbi_tests::control_plane::ControlPlane;
use serde_json::{Value, json};

use crate::target::Target;
use crate::{client, reviews};

/// Examples with accepted differences, and the reasons.
const DIFFERENT: &[(&str, &str)] = &[(
    "CNB001 example 6",
    "Go reads null as absent, as the API server does before it asks",
)];

/// Compares the responses, and returns the number of equal ones.
pub async fn compare(control_plane: &ControlPlane, ours: &Target, peer: &Target, folder: &Path) -> Result<usize> {
    let mut same = 0;
    let mut different = Vec::new();
    for example in Example::all().map_err(Error::msg)? {
        let is_plain = example.configuration.is_none() && example.requester.is_none() && !example.offline;
        let is_secret = |object: &Value| object["kind"] == "Secret";
        if !is_plain || !example.objects.iter().all(is_secret) {
            continue;
        }
        let body = folder.join("example.json");
        std::fs::write(&body, review(&example).to_string())?;
        with(control_plane, &example.objects, "apply").await?;
        let mut answers = Vec::new();
        for target in [ours, peer] {
            let answer = client::post_once(target, "/validate", &body).await?;
            let allowed = answer["response"]["allowed"].as_bool();
            answers.push(allowed.with_context(|| format!("{}: {answer}", example.title()))?);
        }
        with(control_plane, &example.objects, "delete").await?;
        let expected = !example.expected.iter().any(|expected| expected.verdict == "rejected");
        ensure!(
            answers[0] == expected,
            "{}: the response of cnbi-webhook differs from the documentation",
            example.title()
        );
        let is_known = DIFFERENT.iter().any(|(title, _)| *title == example.title());
        if answers[0] == answers[1] {
            same += 1;
        } else if !is_known {
            different.push(example.title());
        }
    }
    ensure!(different.is_empty(), "responses of the peer that differ: {different:?}");
    Ok(same)
}

async fn with(control_plane: &ControlPlane, objects: &[Value], verb: &str) -> Result<()> {
    if objects.is_empty() {
        return Ok(());
    }
    let mut objects = objects.to_vec();
    for object in &mut objects {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or(NAMESPACE).to_owned();
        object["metadata"]["namespace"] = namespace.into();
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let kubectl = control_plane.kubectl().args([verb, "-f", "-"]).stdin(list.to_string());
    kubectl.ok().await.map(drop)
}

/// The review of an example after both webhooks have set defaults.
fn review(example: &Example) -> Value {
    let complete = |object: &Value| {
        let mut object = object.clone();
        let name = object["metadata"]["name"].clone();
        let annotations = &mut object["metadata"]["annotations"];
        if annotations.is_null() {
            *annotations = json!({});
        }
        if let Some(annotations) = annotations.as_object_mut() {
            annotations
                .entry("opendatahub.io/notebook-image-creator")
                .or_insert_with(|| json!("alice"));
            if name.is_string() {
                annotations.entry("opendatahub.io/notebook-image-name").or_insert(name);
            }
        }
        if let Some(spec) = object["spec"].as_object_mut() {
            spec.entry("targetNamespace").or_insert_with(|| json!("opendatahub"));
        }
        object
    };
    reviews::review(
        &complete(&example.resource),
        example.before.as_ref().map(complete).as_ref(),
    )
}
