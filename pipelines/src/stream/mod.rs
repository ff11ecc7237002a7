//! The ImageStream of a resource: whose it is, and what it has to say so that Open Data Hub shows it. Pure; `cluster.rs` is the
//! shell around it, and `outcome.rs` reads what has come of a run.
//!
//! What the dashboard and JupyterHub read is in opendatahub-io/odh-dashboard (`imageStreamUtils.ts`) and
//! jupyterhub-singleuser-profiles (`images.py`): a value that they parse as JSON has to be JSON, or their whole list breaks.

pub mod cluster;
pub mod outcome;

use cnbi_shared::api::annotations::{CREATOR, DESCRIPTION, DISPLAY_NAME, OWNED_BY};
use cnbi_shared::contract::{Asked, Reason};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use outcome::{Image, Outcome};

/// Field manager of what the tasks write.
pub const FIELD_MANAGER: &str = "cnbi-pipelines";

/// Label: the uid of the resource that a stream was last written for.
const UID: &str = "meteor.zone/uid";
/// Annotation: the generation of the resource that a stream was last written for.
const GENERATION: &str = "meteor.zone/generation";

/// Label: whether the spawner offers it.
const OFFERED: &str = "opendatahub.io/notebook-image";
const PHASE: &str = "opendatahub.io/notebook-image-phase";
const MESSAGES: &str = "opendatahub.io/notebook-image-messages";
const URL: &str = "opendatahub.io/notebook-image-url";
const SOFTWARE: &str = "opendatahub.io/notebook-software";
const DEPENDENCIES: &str = "opendatahub.io/notebook-python-dependencies";
const IMPORTED_FROM: &str = "openshift.io/imported-from";

/// Most images that the status of a tag remembers. OpenShift's own registry is as forgetful.
const REMEMBERED: usize = 10;

/// The resource that a stream is written for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its namespace.
    pub namespace: String,
    /// Its name, and the stream's.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The generation of it that the run builds.
    pub generation: i64,
    /// The stream's namespace.
    pub target: String,
    /// The tag of this build.
    pub tag: String,
}

impl Owner {
    fn conflict(&self, what: &str) -> Failure {
        let Self { target, name, .. } = self;
        Failure::new(
            Reason::ImageStreamConflict,
            format!("The ImageStream {target}/{name} {what}"),
        )
    }

    /// Whether the stream may be written for this resource and generation. `is_update`: it was written before in this run, so it can
    /// be of no other resource of the same name.
    pub fn may_write(&self, stream: &Value, is_update: bool) -> Result<(), Failure> {
        let metadata = &stream["metadata"];
        let owner = metadata["annotations"][OWNED_BY].as_str();
        if owner != Some(&format!("{}/{}", self.namespace, self.name)) {
            return Err(self.conflict("belongs to somebody else"));
        }
        if !metadata["deletionTimestamp"].is_null() {
            let Self { target, name, .. } = self;
            return Err(Failure::new(
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
                Err(self.conflict(&format!("was written for generation {newer} meanwhile")))
            }
            _ => Ok(()),
        }
    }

    /// What is made first, where there is no stream: nothing but whose it is. What it says comes by [`Owner::applied`], so that
    /// there is one set of fields that are ours.
    pub fn made(&self) -> Value {
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

    /// The stream to apply over that one.
    pub fn applied(&self, stream: &Value, asked: &Asked, outcome: &Outcome) -> Value {
        let mut tags = tags(stream);
        if let Outcome::Succeeded(image) = outcome {
            let before = tags.iter().position(|tag| tag["name"] == self.tag.as_str());
            let before = before.map(|index| tags.remove(index));
            tags.insert(0, self.newest(stream, before.as_ref(), asked, image));
        }
        let was_offered = &stream["metadata"]["labels"][OFFERED];
        // Without a tag there is nothing to offer, and older dashboards expect one. Who switched it off meant it.
        let is_switched_off = has_tags(stream) && was_offered == "false";
        let is_offered = !tags.is_empty() && !is_switched_off;
        let mut body = json!({
            "apiVersion": "image.openshift.io/v1",
            "kind": "ImageStream",
            "metadata": {
                "name": self.name,
                "namespace": self.target,
                // Of the stream that was looked at and of no other: nothing is written over a change, or made anew.
                "uid": stream["metadata"]["uid"],
                "resourceVersion": stream["metadata"]["resourceVersion"],
                "labels": {
                    "app.kubernetes.io/created-by": "byon",
                    "app.kubernetes.io/managed-by": "cnbi-pipelines",
                    OFFERED: is_offered.to_string(),
                    "opendatahub.io/dashboard": "true",
                    UID: self.uid,
                },
                "annotations": self.annotations(asked, outcome),
            },
            "spec": { "lookupPolicy": { "local": true } },
        });
        // A list that is there and empty makes the dashboard fail, one that is not there does not.
        if !tags.is_empty() {
            body["spec"]["tags"] = Value::Array(tags);
        }
        body
    }

    fn annotations(&self, asked: &Asked, outcome: &Outcome) -> Map<String, Value> {
        let mut annotations = Map::new();
        let (phase, messages) = match outcome {
            Outcome::Running => ("Validating", json!([])),
            Outcome::Succeeded(_) => ("Succeeded", json!([])),
            Outcome::Failed(message) => ("Failed", json!([{ "severity": "error", "message": message }])),
        };
        let owner = format!("{}/{}", self.namespace, self.name);
        let url = asked.from_image.as_deref().or(asked.repository_url.as_deref());
        for (key, text) in [
            (OWNED_BY, Some(owner.as_str())),
            (GENERATION, Some(self.generation.to_string().as_str())),
            (PHASE, Some(phase)),
            (MESSAGES, Some(messages.to_string().as_str())),
            (DISPLAY_NAME, asked.display_name.as_deref()),
            (DESCRIPTION, asked.description.as_deref()),
            (CREATOR, asked.creator.as_deref()),
            (URL, url.or(asked.builder_image.as_deref())),
        ] {
            if let Some(text) = text {
                annotations.insert(key.to_owned(), json!(text));
            }
        }
        annotations
    }

    /// The tag of this build, leading to its image by digest: what was validated, and not what may be there by then.
    fn newest(&self, stream: &Value, before: Option<&Value>, asked: &Asked, image: &Image) -> Value {
        let mut tag = json!({
            "name": self.tag,
            "annotations": {
                SOFTWARE: image.software,
                DEPENDENCIES: image.dependencies,
                IMPORTED_FROM: asked.from_image.as_deref().unwrap_or(&image.reference),
            },
            "from": { "kind": "DockerImage", "name": image.reference },
            "referencePolicy": { "type": "Source" },
        });
        if image.is_insecure {
            tag["importPolicy"] = json!({ "insecure": true });
        }
        let Some(before) = before.filter(|before| before["from"] == tag["from"]) else {
            // OpenShift gives a changed tag the next generation, and imports.
            return tag;
        };
        let told = stream["status"]["tags"].as_array().into_iter().flatten();
        let told = told.filter(|told| told["tag"] == self.tag.as_str());
        let is_usable = told
            .clone()
            .any(|told| told["items"][0].is_object() && told["conditions"][0].is_null());
        // Zero asks OpenShift to import once more.
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

    /// The status to apply where nobody imports, which makes the tag one that can be chosen. `stream` is as it was applied.
    pub fn status(&self, stream: &Value, image: &Image, now: &str) -> Value {
        // All tags, because what is left out of an apply is taken away.
        let all = stream["status"]["tags"].as_array().cloned().unwrap_or_default();
        let all = all.into_iter().map(without_nulls);
        let (mut own, mut told): (Vec<Value>, Vec<Value>) = all.partition(|told| told["tag"] == self.tag.as_str());
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
        items.truncate(REMEMBERED);
        told.insert(0, json!({ "tag": self.tag, "items": items, "conditions": [] }));
        json!({
            "apiVersion": "image.openshift.io/v1",
            "kind": "ImageStream",
            "metadata": { "name": self.name, "namespace": self.target, "uid": stream["metadata"]["uid"] },
            "status": { "tags": told },
        })
    }
}

/// The tags that a stream has, as they are: applied as they were, OpenShift does not import them again.
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
