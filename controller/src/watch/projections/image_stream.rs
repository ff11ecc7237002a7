//! Projection of an ImageStream.

use std::collections::BTreeMap;

use cnbi_shared::api::annotations::{CREATOR, DESCRIPTION, DISPLAY_NAME};
use serde_json::Value;

use super::{ProjectedKind, text, truncated};
use crate::plan::action::NamespacedName;
use crate::plan::observed::Tag;
use crate::plan::request::Display;

/// An ImageStream that Open Data Hub shows as a notebook image, whether or not the controller created it.
#[derive(Clone, Debug, Default)]
pub struct ImageStream {
    /// Whether it has a deletion timestamp.
    pub is_terminating: bool,
    /// Its display annotations.
    pub display: Display,
    /// Its tags, by name.
    pub tags: BTreeMap<String, Tag>,
}

impl ProjectedKind for ImageStream {
    const GROUP: &'static str = "image.openshift.io";
    const KIND: &'static str = "ImageStream";
    const PLURAL: &'static str = "imagestreams";
    // The owner is in an annotation, which no selector can match.
    const SELECTOR: &'static str = "opendatahub.io/notebook-image";

    fn project(object: &Value) -> Self {
        let metadata = &object["metadata"];
        let annotation = |key: &str| text(&metadata["annotations"][key]);
        let status_tags = object["status"]["tags"].as_array().into_iter().flatten();
        let spec_tags = object["spec"]["tags"].as_array().into_iter().flatten();
        let tags = spec_tags.filter_map(|spec| {
            let name = text(&spec["name"])?;
            let status = status_tags.clone().find(|status| status["tag"] == name.as_str());
            Some((name, tag(spec, status.unwrap_or(&Value::Null))))
        });
        Self {
            is_terminating: !metadata["deletionTimestamp"].is_null(),
            display: Display {
                name: annotation(DISPLAY_NAME),
                description: annotation(DESCRIPTION),
                creator: annotation(CREATOR),
            },
            tags: tags.collect(),
        }
    }

    fn index_key(&self, key: &NamespacedName) -> Option<String> {
        Some(key.to_string())
    }
}

/// A tag is usable if its image was imported for the generation in the spec. Images of earlier generations do not count.
fn tag(spec: &Value, status: &Value) -> Tag {
    let newest = status["items"].as_array().and_then(|items| items.first());
    let generation = |value: &Value| value["generation"].as_i64().unwrap_or(0);
    let imported = newest.map(generation);
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let failed = conditions
        .filter(|condition| condition["type"] == "ImportSuccess" && condition["status"] == "False")
        .find(|condition| imported.is_none_or(|imported| generation(condition) >= imported));
    Tag {
        is_usable: failed.is_none() && imported.is_some_and(|imported| imported >= generation(spec)),
        failure: failed.map(|condition| {
            let field = |key: &str| truncated(&condition[key]).unwrap_or_default();
            (field("reason"), field("message"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(status: &Value) -> Tag {
        let stream = ImageStream::project(&json!({
            "spec": {"tags": [{"name": "v1", "generation": 2}]}, "status": {"tags": [status]},
        }));
        stream.tags.get("v1").unwrap().clone()
    }

    #[test]
    fn a_tag_is_usable_if_its_generation_was_imported() {
        let item = |generation: i64| json!([{"generation": generation, "image": "sha256:1"}]);
        let failed = |generation: i64| {
            json!([{
                "type": "ImportSuccess", "status": "False", "reason": "NotFound", "message": "m", "generation": generation,
            }])
        };
        for (status, is_usable, failure) in [
            (json!({"tag": "other", "items": item(2)}), false, None),
            (json!({"tag": "v1", "items": null}), false, None),
            (json!({"tag": "v1", "items": item(2)}), true, None),
            (json!({"tag": "v1", "items": item(1)}), false, None),
            (
                json!({"tag": "v1", "items": item(1), "conditions": failed(2)}),
                false,
                Some("NotFound"),
            ),
            (
                json!({"tag": "v1", "items": null, "conditions": failed(2)}),
                false,
                Some("NotFound"),
            ),
            (
                json!({"tag": "v1", "items": item(2), "conditions": failed(1)}),
                true,
                None,
            ),
        ] {
            let tag = read(&status);
            assert_eq!(tag.is_usable, is_usable, "{status}");
            assert_eq!(tag.failure.map(|(reason, _)| reason).as_deref(), failure, "{status}");
        }
    }
}
