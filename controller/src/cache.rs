//! Objects of one kind, found by what they belong to.
//!
//! Filled with the events of a watch. What an event changes is told by the resource that has to be looked at, also where
//! an object has passed from one to another or was missed while the watch was away.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kube::runtime::watcher::Event;

use crate::build::action::Place;
use crate::kinds::{Kept, Kind};

/// All objects of one kind.
#[derive(Debug)]
pub struct Cache<K> {
    groups: Groups<K>,
    /// What a list that is under way has brought so far.
    listing: Option<Groups<K>>,
}

type Groups<K> = HashMap<String, BTreeMap<(String, String), Arc<Kept<K>>>>;

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self {
            groups: HashMap::new(),
            listing: None,
        }
    }
}

impl<K: Kind> Cache<K> {
    /// Takes an event in. The resources to look at.
    pub fn take(&mut self, event: Event<Kept<K>>) -> BTreeSet<(String, String)> {
        let mut touched = BTreeSet::new();
        match event {
            Event::Init => self.listing = Some(HashMap::new()),
            Event::InitApply(object) => {
                put(self.listing.get_or_insert_default(), object);
            }
            Event::InitDone => {
                let before = std::mem::replace(&mut self.groups, self.listing.take().unwrap_or_default());
                let all = before.values().chain(self.groups.values());
                all.flat_map(BTreeMap::values)
                    .for_each(|object| touch(&mut touched, object));
            }
            Event::Apply(object) => {
                touch(&mut touched, &object);
                if let Some(before) = put(&mut self.groups, object) {
                    touch(&mut touched, &before);
                }
            }
            Event::Delete(object) => {
                touch(&mut touched, &object);
                let place = object.place();
                if let Some(group) = object.kept.group(&place)
                    && let Some(members) = self.groups.get_mut(&group)
                {
                    members.remove(&(place.namespace, place.name));
                    if members.is_empty() {
                        self.groups.remove(&group);
                    }
                }
            }
        }
        touched
    }

    /// Forgets all. The resources to look at.
    pub fn clear(&mut self) -> BTreeSet<(String, String)> {
        self.listing = None;
        self.take(Event::InitDone)
    }

    /// The objects of a group.
    pub fn group(&self, group: &str) -> impl Iterator<Item = &Arc<Kept<K>>> {
        self.groups.get(group).into_iter().flat_map(BTreeMap::values)
    }

    /// The object of that name in a group.
    pub fn find(&self, group: &str, place: &Place) -> Option<&Arc<Kept<K>>> {
        self.group(group).find(|object| {
            object.metadata.name.as_deref() == Some(&place.name)
                && object.metadata.namespace.as_deref() == Some(&place.namespace)
        })
    }

    /// All objects.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Kept<K>>> {
        self.groups.values().flat_map(BTreeMap::values)
    }
}

fn touch<K>(touched: &mut BTreeSet<(String, String)>, object: &Kept<K>) {
    touched.extend(object.owner.clone().map(|owner| (owner.namespace, owner.name)));
}

/// Puts an object in; what stood in its place.
fn put<K: Kind>(groups: &mut Groups<K>, object: Kept<K>) -> Option<Arc<Kept<K>>> {
    let place = object.place();
    let group = object.kept.group(&place)?;
    let members = groups.entry(group).or_default();
    members.insert((place.namespace, place.name), Arc::new(object))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::Stream;

    fn stream(name: &str, owner: &str) -> Kept<Stream> {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "n", "annotations": {"meteor.zone/owned-by": owner}},
        }))
        .unwrap()
    }

    fn owners(touched: BTreeSet<(String, String)>) -> Vec<String> {
        touched
            .into_iter()
            .map(|(namespace, name)| format!("{namespace}/{name}"))
            .collect()
    }

    #[test]
    fn every_resource_that_an_event_is_about_is_told() {
        let mut cache = Cache::default();
        assert_eq!(owners(cache.take(Event::Init)), [""; 0]);
        cache.take(Event::InitApply(stream("s", "a/s")));
        assert_eq!(cache.all().count(), 0, "a list counts when it is complete");
        assert_eq!(owners(cache.take(Event::InitDone)), ["a/s"]);
        assert_eq!(owners(cache.take(Event::Apply(stream("s", "b/s")))), ["a/s", "b/s"]);
        let place = Place::new("n", "s");
        assert!(cache.find("n/s", &place).is_some());
        // The watch was away, and the object went meanwhile.
        cache.take(Event::Init);
        assert!(cache.find("n/s", &place).is_some());
        assert_eq!(owners(cache.take(Event::InitDone)), ["b/s"]);
        assert!(cache.find("n/s", &place).is_none());
        cache.take(Event::Apply(stream("t", "c/t")));
        assert_eq!(owners(cache.take(Event::Delete(stream("t", "c/t")))), ["c/t"]);
        assert_eq!(cache.all().count(), 0);
        cache.take(Event::Apply(stream("t", "c/t")));
        assert_eq!(owners(cache.clear()), ["c/t"]);
    }
}
