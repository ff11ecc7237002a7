//! A fake of OpenShift's image import: writes the status of a tag of an ImageStream. No registry is contacted.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Patch, PatchParams, ValidationDirective};
use serde_json::{Value, json};

use crate::process::POLL;

use super::image_streams;
use super::run_status::time;

/// How long the stream and its tag may take to appear.
const APPEARS_WITHIN: Duration = Duration::from_secs(60);

/// How the import of a tag ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Import {
    /// The image exists and has this digest.
    Succeeds {
        /// Such as `sha256:` and 64 hexadecimal digits.
        digest: String,
    },
    /// It fails with this reason and message of the condition `ImportSuccess`.
    Fails {
        /// One of `NotFound`, `Unauthorized`, `BadRequest`, `Invalid`, `InternalError`, `ImportFailed`.
        reason: String,
        /// A text for users.
        message: String,
    },
}

impl Import {
    /// It succeeds.
    pub fn succeeds(digest: &str) -> Self {
        let digest = digest.to_owned();
        Self::Succeeds { digest }
    }

    /// The registry has no such image.
    pub fn not_found(reference: &str) -> Self {
        Self::Fails {
            reason: "NotFound".to_owned(),
            message: format!("dockerimage.image.openshift.io \"{reference}\" not found"),
        }
    }

    /// The registry denies access.
    pub fn unauthorized(reference: &str) -> Self {
        Self::Fails {
            reason: "Unauthorized".to_owned(),
            message: format!("you may not have access to the container image \"{reference}\""),
        }
    }

    /// The registry cannot be reached.
    pub fn unreachable(registry: &str) -> Self {
        Self::Fails {
            reason: "InternalError".to_owned(),
            message: format!("Internal error occurred: Get \"https://{registry}/v2/\": dial tcp: i/o timeout"),
        }
    }
}

/// The stream's status after the import of a tag at `now`. No I/O.
///
/// # Errors
/// The stream has no such tag, or the tag has no image reference.
fn new_status(stream: &Value, tag: &str, import: &Import, now: Timestamp) -> Result<Value> {
    let tags = stream["spec"]["tags"].as_array().into_iter().flatten();
    let wanted = tags.clone().find(|wanted| wanted["name"] == tag);
    let wanted = wanted.with_context(|| format!("the stream has no tag {tag}: {}", stream["spec"]["tags"]))?;
    let reference = wanted["from"]["name"]
        .as_str()
        .context("the tag has no image reference")?;
    let generation = wanted["generation"].as_i64().filter(|&generation| generation > 0);
    let generation = generation
        .or_else(|| stream["metadata"]["generation"].as_i64())
        .unwrap_or(1);

    let before = stream["status"]["tags"].as_array().cloned().unwrap_or_default();
    let (mut own, mut all): (Vec<Value>, Vec<Value>) = before.into_iter().partition(|before| before["tag"] == tag);
    let own = own.pop().unwrap_or(Value::Null);
    let mut items = own["items"].as_array().cloned().unwrap_or_default();
    let mut event = json!({"tag": tag});
    match import {
        Import::Succeeds { digest } => {
            if items.first().is_none_or(|newest| newest["image"] != *digest) {
                let item = json!({
                    "created": time(now), "dockerImageReference": format!("{}@{digest}", repository(reference)),
                    "image": digest, "generation": generation,
                });
                items.insert(0, item);
            }
        }
        Import::Fails { reason, message } => {
            event["conditions"] = json!([{
                "type": "ImportSuccess", "status": "False", "reason": reason, "message": message,
                "generation": generation, "lastTransitionTime": time(now),
            }]);
        }
    }
    // OpenShift writes null if no image was ever imported.
    event["items"] = if items.is_empty() { Value::Null } else { items.into() };
    all.push(event);
    Ok(json!({"tags": all}))
}

/// A reference without its tag and digest.
fn repository(reference: &str) -> &str {
    let reference = reference.split_once('@').map_or(reference, |(before, _)| before);
    match reference.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => before,
        _ => reference,
    }
}

/// Waits for the tag and writes its status.
///
/// # Errors
/// The tag does not appear within a minute, or the API server rejects the write.
pub async fn simulate(client: &Client, namespace: &str, stream: &str, tag: &str, import: &Import) -> Result<()> {
    let streams = image_streams(client, namespace);
    let begin = Instant::now();
    loop {
        let found = streams
            .get_opt(stream)
            .await
            .with_context(|| format!("reading {stream}"))?;
        let found = found.map(serde_json::to_value).transpose()?;
        let tags = found.as_ref().and_then(|found| found["spec"]["tags"].as_array());
        if let Some(found) = found.as_ref()
            && tags.is_some_and(|tags| tags.iter().any(|named| named["name"] == tag))
        {
            let new_status = new_status(found, tag, import, Timestamp::now())?;
            let patch = Patch::Merge(json!({
                "metadata": {"resourceVersion": found["metadata"]["resourceVersion"]},
                "status": new_status,
            }));
            let params = PatchParams {
                field_manager: Some("fake-openshift".to_owned()),
                field_validation: Some(ValidationDirective::Strict),
                ..PatchParams::default()
            };
            match streams.patch_status(stream, &params, &patch).await {
                // A concurrent write: read again.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                answer => {
                    return answer
                        .map(drop)
                        .with_context(|| format!("writing to the status of {stream}: {new_status}"));
                }
            }
        }
        ensure!(
            begin.elapsed() < APPEARS_WITHIN,
            "{namespace}/{stream} has no tag {tag} within {APPEARS_WITHIN:?}: {found:?}"
        );
        tokio::time::sleep(POLL).await;
    }
}
