//! What is kept in memory of the objects that runs leave on a cluster, read with patience.
//!
//! These kinds are Tekton's and OpenShift's, and what stands in them was written by many. An object that cannot be read
//! whole is read as far as it goes: a watch must not end over it.

mod run;
mod stream;
mod task_run;

use std::borrow::Cow;
use std::fmt::Debug;

use cnbi_shared::api::annotations::OWNED_BY;
use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use crate::plan::action::Place;
use crate::plan::by_name::ByName;

pub use run::Run;
pub use stream::Stream;
pub use task_run::TaskRun;

/// One kind of object, and what is kept of it.
pub trait Kind: Clone + Debug + Send + Sync + 'static {
    /// API group; the version is `v1` for all.
    const GROUP: &'static str;
    /// Kind.
    const KIND: &'static str;
    /// Plural, as in paths.
    const PLURAL: &'static str;
    /// Which objects are ours to look at.
    const SELECTOR: &'static str;

    /// What is kept. `object` is whatever somebody has stored.
    fn read(object: &Value) -> Self;

    /// What objects are looked up by. `None`: of no use to anybody.
    fn group(&self, place: &Place) -> Option<String>;

    /// Whether it is a run that has not ended.
    fn is_active(&self) -> bool {
        false
    }
}

/// An object as it is kept. There are thousands, so nothing is said twice, and nothing that nobody reads.
#[derive(Clone, Debug)]
pub struct Kept<K> {
    /// Namespace and name.
    pub place: Place,
    /// Its uid.
    pub uid: Option<String>,
    /// The resource that it belongs to, as it says itself.
    pub owner: Option<Place>,
    /// The rest.
    pub kept: K,
}

/// An object as kube's client and watches take it.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Value", bound = "K: Kind")]
pub struct Watched<K> {
    metadata: ObjectMeta,
    kept: Kept<K>,
}

impl<K> Watched<K> {
    /// What is kept of it.
    pub fn into_kept(self) -> Kept<K> {
        self.kept
    }
}

impl<K: Kind> From<Value> for Watched<K> {
    fn from(object: Value) -> Self {
        let metadata = &object["metadata"];
        let owner = metadata["annotations"][OWNED_BY].as_str().and_then(|owner| {
            let (namespace, name) = owner.split_once('/')?;
            Some(Place::new(namespace, name))
        });
        let said = |key: &str| metadata[key].as_str().unwrap_or_default();
        Self {
            // A watch goes on from the version.
            metadata: ObjectMeta {
                name: text(&metadata["name"]),
                namespace: text(&metadata["namespace"]),
                resource_version: text(&metadata["resourceVersion"]),
                ..ObjectMeta::default()
            },
            kept: Kept {
                place: Place::new(said("namespace"), said("name")),
                uid: text(&metadata["uid"]),
                owner,
                kept: K::read(&object),
            },
        }
    }
}

impl<K: Kind> Resource for Watched<K> {
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

fn boxed(value: &Value) -> Option<Box<str>> {
    value.as_str().map(Box::from)
}

/// The longest text that is kept of what a task or Tekton says, in bytes.
const LONGEST: usize = 4096;

fn bounded(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Some(text[..end].to_owned())
}

/// Status, reason and message of condition `Succeeded`.
fn succeeded(status: &Value) -> (crate::plan::observed::Outcome, String, String) {
    use crate::plan::observed::Outcome;
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    let condition = conditions
        .find(|condition| condition["type"] == "Succeeded")
        .unwrap_or(&Value::Null);
    let outcome = match condition["status"].as_str() {
        Some("True") => Outcome::True,
        Some("False") => Outcome::False,
        _ => Outcome::Unknown,
    };
    let said = |key: &str| bounded(&condition[key]).unwrap_or_default();
    (outcome, said("reason"), said("message"))
}

/// Names and values of the results that are texts and named in `wanted`.
fn results(list: &Value, wanted: &[&str]) -> ByName<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .filter_map(|item| {
            let name = item["name"].as_str().filter(|name| wanted.contains(name))?;
            Some((name.to_owned(), bounded(&item["value"])?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_can_be_stored_stops_a_watch() {
        for object in [
            "{}",
            "[]",
            r#"{"metadata":7}"#,
            r#"{"metadata":{"labels":[],"annotations":{"meteor.zone/owned-by":7}},"status":[]}"#,
            r#"{"spec":{"workspaces":7,"tags":{}},"status":{"conditions":{},"results":[1],"tags":[7]}}"#,
        ] {
            serde_json::from_str::<Watched<Run>>(object).unwrap();
            serde_json::from_str::<Watched<TaskRun>>(object).unwrap();
            serde_json::from_str::<Watched<Stream>>(object).unwrap();
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let cut = bounded(&Value::from("ä".repeat(LONGEST))).unwrap();
        assert_eq!(cut.len(), LONGEST);
        let cut = bounded(&Value::from(format!("a{}", "ä".repeat(LONGEST)))).unwrap();
        assert_eq!(cut.len(), LONGEST - 1);
    }
}
