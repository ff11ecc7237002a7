//! The ImageStream of a resource: its owner and the content that Open Data Hub reads. No I/O; see `client.rs`.
//!
//! What the dashboard and JupyterHub read is in opendatahub-io/odh-dashboard (`imageStreamUtils.ts`) and
//! jupyterhub-singleuser-profiles (`images.py`). Values that they parse as JSON must be valid, or their whole list fails.

pub mod client;
pub mod outcome;

use cnbi_shared::api::annotations::{CREATOR, DESCRIPTION, DISPLAY_NAME, OWNED_BY};
use cnbi_shared::contract::{BuildRequest, Reason};
use serde_json::{Map, Value, json};

use crate::error::StepError;
use outcome::{Image, Outcome};

/// Field manager of the tasks.
pub const FIELD_MANAGER: &str = "cnbi-pipelines";

/// Label: uid of the resource that last wrote the ImageStream.
const UID: &str = "meteor.zone/uid";
/// Annotation: generation of the resource that last wrote the ImageStream.
const GENERATION: &str = "meteor.zone/generation";

/// Label: whether the notebook spawner lists the ImageStream.
const OFFERED: &str = "opendatahub.io/notebook-image";
const PHASE: &str = "opendatahub.io/notebook-image-phase";
const MESSAGES: &str = "opendatahub.io/notebook-image-messages";
const URL: &str = "opendatahub.io/notebook-image-url";
const SOFTWARE: &str = "opendatahub.io/notebook-software";
const DEPENDENCIES: &str = "opendatahub.io/notebook-python-dependencies";
const IMPORTED_FROM: &str = "openshift.io/imported-from";

/// Maximum number of images in the status of a tag. OpenShift prunes them too.
const MAX_HISTORY: usize = 10;

/// The resource of an ImageStream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Namespace of the resource.
    pub namespace: String,
    /// Name of the resource and of the ImageStream.
    pub name: String,
    /// Uid of the resource.
    pub uid: String,
    /// Generation of the resource that the run builds.
    pub generation: i64,
    /// Namespace of the ImageStream.
    pub target: String,
    /// Tag of this build.
    pub tag: String,
}

impl Owner {
    fn conflict(&self, what: &str) -> StepError {
        let Self { target, name, .. } = self;
        StepError::new(
            Reason::ImageStreamConflict,
            format!("The ImageStream {target}/{name} {what}"),
        )
    }

    /// Checks that the ImageStream may be written for this resource and generation. `is_update`: an earlier task of this run has written it,
    /// so it must have the uid of this resource.
    pub fn may_write(&self, stream: &Value, is_update: bool) -> Result<(), StepError> {
        let metadata = &stream["metadata"];
        let owner = metadata["annotations"][OWNED_BY].as_str();
        if owner != Some(&format!("{}/{}", self.namespace, self.name)) {
            return Err(self.conflict(
                "belongs to another resource or user; choose another metadata.name, or delete the ImageStream",
            ));
        }
        if !metadata["deletionTimestamp"].is_null() {
            let Self { target, name, .. } = self;
            return Err(StepError::new(
                Reason::ImageStreamCreateFailed,
                format!("The ImageStream {target}/{name} is being deleted"),
            ));
        }
        let is_of_this = metadata["labels"][UID] == self.uid.as_str();
        if is_update && !is_of_this {
            return Err(self.conflict("was taken over by a newer resource of the same name"));
        }
        let generation = metadata["annotations"][GENERATION].as_str();
        let generation: Option<i64> = generation.and_then(|generation| generation.parse().ok());
        match generation {
            Some(newer) if is_of_this && newer > self.generation => {
                Err(self.conflict(&format!("was already written for generation {newer}")))
            }
            _ => Ok(()),
        }
    }

    /// A new ImageStream with nothing but its owner. [`Owner::desired`] has all other fields, so that the field manager owns one set.
    pub fn new_object(&self) -> Value {
        json!({
            "apiVersion": "image.openshift.io/v1",
            "kind": "ImageStream",
            "metadata": {
                "name": self.name,
                "namespace": self.target,
                "annotations": { OWNED_BY: format!("{}/{}", self.namespace, self.name) },
            },
        })
    }

    /// The ImageStream to apply.
    pub fn desired(&self, stream: &Value, request: &BuildRequest, outcome: &Outcome) -> Value {
        let mut tags = tags(stream);
        if let Outcome::Succeeded(image) = outcome {
            let before = tags.iter().position(|tag| tag["name"] == self.tag.as_str());
            let before = before.map(|index| tags.remove(index));
            tags.insert(0, self.tag_for(stream, before.as_ref(), request, image));
        }
        let was_offered = &stream["metadata"]["labels"][OFFERED];
        // Without tags, older dashboards expect "false". With tags, "false" was set by the admin and is kept.
        let is_switched_off = has_tags(stream) && was_offered == "false";
        let is_offered = !tags.is_empty() && !is_switched_off;
        let mut body = json!({
            "apiVersion": "image.openshift.io/v1",
            "kind": "ImageStream",
            "metadata": {
                "name": self.name,
                "namespace": self.target,
                // Fails if the ImageStream was changed or recreated.
                "uid": stream["metadata"]["uid"],
                "resourceVersion": stream["metadata"]["resourceVersion"],
                "labels": {
                    "app.kubernetes.io/created-by": "byon",
                    "app.kubernetes.io/managed-by": "cnbi-pipelines",
                    OFFERED: is_offered.to_string(),
                    "opendatahub.io/dashboard": "true",
                    UID: self.uid,
                },
                "annotations": self.annotations(request, outcome),
            },
            "spec": { "lookupPolicy": { "local": true } },
        });
        // The dashboard fails for an empty list.
        if !tags.is_empty() {
            body["spec"]["tags"] = Value::Array(tags);
        }
        body
    }

    fn annotations(&self, request: &BuildRequest, outcome: &Outcome) -> Map<String, Value> {
        let mut annotations = Map::new();
        let (phase, messages) = match outcome {
            Outcome::Running => ("Validating", json!([])),
            Outcome::Succeeded(_) => ("Succeeded", json!([])),
            Outcome::Failed(message) => ("Failed", json!([{ "severity": "error", "message": message }])),
        };
        let owner = format!("{}/{}", self.namespace, self.name);
        let url = request.from_image.as_deref().or(request.repository_url.as_deref());
        for (key, text) in [
            (OWNED_BY, Some(owner.as_str())),
            (GENERATION, Some(self.generation.to_string().as_str())),
            (PHASE, Some(phase)),
            (MESSAGES, Some(messages.to_string().as_str())),
            (DISPLAY_NAME, request.display_name.as_deref()),
            (DESCRIPTION, request.description.as_deref()),
            (CREATOR, request.creator.as_deref()),
            (URL, url.or(request.builder_image.as_deref())),
        ] {
            if let Some(text) = text {
                annotations.insert(key.to_owned(), json!(text));
            }
        }
        annotations
    }

    /// The tag of this build, with the digest of the validated image.
    fn tag_for(&self, stream: &Value, before: Option<&Value>, request: &BuildRequest, image: &Image) -> Value {
        let mut tag = json!({
            "name": self.tag,
            "annotations": {
                SOFTWARE: image.software,
                DEPENDENCIES: image.dependencies,
                IMPORTED_FROM: request.from_image.as_deref().unwrap_or(&image.reference),
            },
            "from": { "kind": "DockerImage", "name": image.reference },
            "referencePolicy": { "type": "Source" },
        });
        if image.is_insecure {
            tag["importPolicy"] = json!({ "insecure": true });
        }
        let Some(before) = before.filter(|before| before["from"] == tag["from"]) else {
            // OpenShift assigns the next generation and imports.
            return tag;
        };
        let tag_status = stream["status"]["tags"].as_array().into_iter().flatten();
        let tag_status = tag_status.filter(|tag_status| tag_status["tag"] == self.tag.as_str());
        let is_usable = tag_status
            .clone()
            .any(|tag_status| tag_status["items"][0].is_object() && tag_status["conditions"][0].is_null());
        // Generation 0 requests a new import.
        let generation = if is_usable {
            before["generation"].clone()
        } else {
            json!(0)
        };
        if !generation.is_null() {
            tag["generation"] = generation;
        }
        tag
    }

    /// The status to apply in clusters without image import. `stream` is the ImageStream after the apply.
    pub fn status(&self, stream: &Value, image: &Image, now: &str) -> Value {
        // An apply removes omitted tags.
        let all = stream["status"]["tags"].as_array().cloned().unwrap_or_default();
        let all = all.into_iter().map(without_nulls);
        let (mut own, mut tag_status): (Vec<Value>, Vec<Value>) =
            all.partition(|tag_status| tag_status["tag"] == self.tag.as_str());
        let mut items = own
            .pop()
            .and_then(|own| own["items"].as_array().cloned())
            .unwrap_or_default();
        let spec = stream["spec"]["tags"].as_array().into_iter().flatten();
        let spec = spec.into_iter().find(|tag| tag["name"] == self.tag.as_str());
        let generation = spec
            .and_then(|tag| tag["generation"].as_i64())
            .filter(|&number| number > 0);
        let generation = generation.or(stream["metadata"]["generation"].as_i64()).unwrap_or(1);
        if items
            .first()
            .is_none_or(|newest| newest["image"] != image.digest.as_str())
        {
            items.insert(
                0,
                json!({
                    "created": now, "dockerImageReference": image.reference,
                    "image": image.digest, "generation": generation,
                }),
            );
        }
        items[0]["generation"] = json!(generation);
        items.truncate(MAX_HISTORY);
        tag_status.insert(0, json!({ "tag": self.tag, "items": items, "conditions": [] }));
        json!({
            "apiVersion": "image.openshift.io/v1",
            "kind": "ImageStream",
            "metadata": { "name": self.name, "namespace": self.target, "uid": stream["metadata"]["uid"] },
            "status": { "tags": tag_status },
        })
    }
}

/// The current tags. OpenShift does not import unchanged tags again.
fn tags(stream: &Value) -> Vec<Value> {
    let tags = stream["spec"]["tags"].as_array().cloned().unwrap_or_default();
    tags.into_iter().map(without_nulls).collect()
}

fn has_tags(stream: &Value) -> bool {
    stream["spec"]["tags"].as_array().is_some_and(|tags| !tags.is_empty())
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_nulls(value)))
            .collect(),
        value => value,
    }
}

#[cfg(test)]
mod tests;
