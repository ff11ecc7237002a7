//! Projections: the fields of PipelineRuns, TaskRuns and ImageStreams that the controller keeps in memory.
//!
//! Reading is lenient, because one object that fails to deserialise would end the watch of all: a field of an unexpected type
//! is treated as missing.

mod image_stream;
mod pipeline_run;
mod task_run;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;

use cnbi_shared::api::annotations::OWNED_BY;
use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use crate::plan::action::NamespacedName;
use crate::plan::observed::RunState;

pub use image_stream::ImageStream;
pub use pipeline_run::PipelineRun;
pub use task_run::TaskRun;

/// The fields that are kept of one kind of object.
pub trait ProjectedKind: Clone + Debug + Send + Sync + 'static {
    /// API group. The version is `v1` for all kinds.
    const GROUP: &'static str;
    /// Kind.
    const KIND: &'static str;
    /// Plural, as in paths.
    const PLURAL: &'static str;
    /// Label selector of the watch.
    const SELECTOR: &'static str;

    /// Reads the fields.
    fn project(object: &Value) -> Self;

    /// Key of the index of the cache. An object without one is not kept.
    fn index_key(&self, key: &NamespacedName) -> Option<String>;

    /// Whether it is a run that has not ended.
    fn is_active(&self) -> bool {
        false
    }
}

/// An object as it is kept in a cache.
#[derive(Clone, Debug)]
pub struct Projection<K> {
    /// Namespace and name.
    pub key: NamespacedName,
    /// Its uid.
    pub uid: Option<String>,
    /// The `CustomNBImage` that it belongs to, from the annotation [`OWNED_BY`].
    pub owner: Option<NamespacedName>,
    /// The fields of its kind.
    pub data: K,
}

/// An object as kube's client and watches deserialise it.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Value", bound = "K: ProjectedKind")]
pub struct WatchedObject<K> {
    metadata: ObjectMeta,
    projection: Projection<K>,
}

impl<K> WatchedObject<K> {
    /// Drops the metadata that only the watch needs.
    pub fn into_projection(self) -> Projection<K> {
        self.projection
    }
}

impl<K: ProjectedKind> From<Value> for WatchedObject<K> {
    fn from(object: Value) -> Self {
        let metadata = &object["metadata"];
        let owner = metadata["annotations"][OWNED_BY].as_str().and_then(|owner| {
            let (namespace, name) = owner.split_once('/')?;
            Some(NamespacedName::new(namespace, name))
        });
        let field = |key: &str| metadata[key].as_str().unwrap_or_default();
        Self {
            metadata: ObjectMeta {
                name: text(&metadata["name"]),
                namespace: text(&metadata["namespace"]),
                // A watch resumes from this version.
                resource_version: text(&metadata["resourceVersion"]),
                ..ObjectMeta::default()
            },
            projection: Projection {
                key: NamespacedName::new(field("namespace"), field("name")),
                uid: text(&metadata["uid"]),
                owner,
                data: K::project(&object),
            },
        }
    }
}

impl<K: ProjectedKind> Resource for WatchedObject<K> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        K::KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        K::GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Limit of texts from tasks and from Tekton, in bytes.
const TEXT_LIMIT: usize = 4096;

fn truncated(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let mut end = text.len().min(TEXT_LIMIT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Some(text[..end].to_owned())
}

/// State, reason and message of the condition `Succeeded`.
fn succeeded_condition(status: &Value) -> (RunState, String, String) {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    let condition = conditions
        .find(|condition| condition["type"] == "Succeeded")
        .unwrap_or(&Value::Null);
    let state = match condition["status"].as_str() {
        Some("True") => RunState::Succeeded,
        Some("False") => RunState::Failed,
        _ => RunState::Running,
    };
    let field = |key: &str| truncated(&condition[key]).unwrap_or_default();
    (state, field("reason"), field("message"))
}

/// The results whose names are in `wanted` and whose values are strings.
fn results(list: &Value, wanted: &[&str]) -> BTreeMap<String, String> {
    let items = list.as_array().into_iter().flatten();
    items
        .filter_map(|item| {
            let name = item["name"].as_str().filter(|name| wanted.contains(name))?;
            Some((name.to_owned(), truncated(&item["value"])?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_json_can_be_read() {
        for object in [
            "{}",
            "[]",
            r#"{"metadata":7}"#,
            r#"{"metadata":{"labels":[],"annotations":{"meteor.zone/owned-by":7}},"status":[]}"#,
            r#"{"spec":{"workspaces":7,"tags":{}},"status":{"conditions":{},"results":[1],"tags":[7]}}"#,
        ] {
            serde_json::from_str::<WatchedObject<PipelineRun>>(object).unwrap();
            serde_json::from_str::<WatchedObject<TaskRun>>(object).unwrap();
            serde_json::from_str::<WatchedObject<ImageStream>>(object).unwrap();
        }
    }

    #[test]
    fn long_texts_are_truncated_at_a_character_boundary() {
        let cut = truncated(&Value::from("ä".repeat(TEXT_LIMIT))).unwrap();
        assert_eq!(cut.len(), TEXT_LIMIT);
        let cut = truncated(&Value::from(format!("a{}", "ä".repeat(TEXT_LIMIT)))).unwrap();
        assert_eq!(cut.len(), TEXT_LIMIT - 1);
    }
}
