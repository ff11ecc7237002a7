//! What is kept of an ImageStream.

use cnbi_shared::api::annotations::{CREATOR, DESCRIPTION, DISPLAY_NAME};
use serde_json::Value;

use super::{Kind, bounded, text};
use crate::plan::action::Place;
use crate::plan::by_name::ByName;
use crate::plan::observed::Tag;
use crate::plan::request::Display;

/// An ImageStream that Open Data Hub shows as a notebook image, whoever made it.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// Whether it is being deleted already.
    pub is_terminating: bool,
    /// Its display annotations.
    pub display: Display,
    /// Its tags, by name.
    pub tags: ByName<Tag>,
}

impl Kind for Stream {
    const GROUP: &'static str = "image.openshift.io";
    const KIND: &'static str = "ImageStream";
    const PLURAL: &'static str = "imagestreams";
    // Whose they are stands in an annotation, which cannot be selected by.
    const SELECTOR: &'static str = "opendatahub.io/notebook-image";

    fn read(object: &Value) -> Self {
        let metadata = &object["metadata"];
        let annotation = |key: &str| text(&metadata["annotations"][key]);
        let told = object["status"]["tags"].as_array().into_iter().flatten();
        let wanted = object["spec"]["tags"].as_array().into_iter().flatten();
        let tags = wanted.filter_map(|wanted| {
            let name = text(&wanted["name"])?;
            let told = told.clone().find(|told| told["tag"] == name.as_str());
            Some((name, tag(wanted, told.unwrap_or(&Value::Null))))
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

    fn group(&self, place: &Place) -> Option<String> {
        Some(place.to_string())
    }
}

/// A tag is usable by what was imported for what is wanted now: an image of an earlier import says nothing.
fn tag(wanted: &Value, told: &Value) -> Tag {
    let newest = told["items"].as_array().and_then(|items| items.first());
    let generation = |value: &Value| value["generation"].as_i64().unwrap_or(0);
    let imported = newest.map(generation);
    let conditions = told["conditions"].as_array().into_iter().flatten();
    let failed = conditions
        .filter(|condition| condition["type"] == "ImportSuccess" && condition["status"] == "False")
        .find(|condition| imported.is_none_or(|imported| generation(condition) >= imported));
    Tag {
        is_usable: failed.is_none() && imported.is_some_and(|imported| imported >= generation(wanted)),
        failure: failed.map(|condition| {
            let said = |key: &str| bounded(&condition[key]).unwrap_or_default();
            (said("reason"), said("message"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(told: &Value) -> Tag {
        let stream = Stream::read(&json!({
            "spec": {"tags": [{"name": "v1", "generation": 2}]}, "status": {"tags": [told]},
        }));
        stream.tags.get("v1").unwrap().clone()
    }

    #[test]
    fn a_tag_is_usable_by_the_image_of_its_own_generation() {
        let item = |generation: i64| json!([{"generation": generation, "image": "sha256:1"}]);
        let failed = |generation: i64| {
            json!([{
                "type": "ImportSuccess", "status": "False", "reason": "NotFound", "message": "m", "generation": generation,
            }])
        };
        for (told, is_usable, failure) in [
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
            let tag = read(&told);
            assert_eq!(tag.is_usable, is_usable, "{told}");
            assert_eq!(tag.failure.map(|(reason, _)| reason).as_deref(), failure, "{told}");
        }
    }
}
