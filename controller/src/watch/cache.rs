//! Objects of one kind, found by what they belong to.
//!
//! Filled with the events of a watch. What an event changes is told by the resource that has to be looked at, also where
//! an object has passed from one to another or was missed while the watch was away.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kube::runtime::watcher::Event;

use crate::plan::action::Place;
use crate::watch::projections::{Kept, Kind, Watched};

/// All objects of one kind.
#[derive(Debug)]
pub struct Cache<K> {
    objects: Objects<K>,
    /// What a list that is under way has brought so far.
    listing: Option<Objects<K>>,
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self {
            objects: Objects::default(),
            listing: None,
        }
    }
}

/// There are thousands of groups and few objects in each, so a list costs less than a tree, and no key is kept twice.
#[derive(Debug)]
struct Objects<K> {
    /// Each in the order of namespaces and names.
    groups: HashMap<String, Vec<Arc<Kept<K>>>>,
    /// Those that are under way, by namespace and name: a few of thousands, which every visit asks for.
    active: BTreeMap<Place, Arc<Kept<K>>>,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self {
            groups: HashMap::new(),
            active: BTreeMap::new(),
        }
    }
}

impl<K: Kind> Objects<K> {
    /// Puts an object in; what stood in its place.
    fn put(&mut self, object: Kept<K>) -> Option<Arc<Kept<K>>> {
        let group = object.kept.group(&object.place)?;
        let object = Arc::new(object);
        if object.kept.is_active() {
            self.active.insert(object.place.clone(), Arc::clone(&object));
        } else {
            self.active.remove(&object.place);
        }
        let members = self.groups.entry(group).or_default();
        match members.binary_search_by(|member| member.place.cmp(&object.place)) {
            Ok(at) => Some(std::mem::replace(&mut members[at], object)),
            Err(at) => {
                // Most groups have one member and will have no more.
                members.reserve_exact(1);
                members.insert(at, object);
                None
            }
        }
    }

    fn take_out(&mut self, object: &Kept<K>) {
        let Some(group) = object.kept.group(&object.place) else {
            return;
        };
        if let Some(members) = self.groups.get_mut(&group) {
            members.retain(|member| member.place != object.place);
            if members.is_empty() {
                self.groups.remove(&group);
            }
        }
        self.active.remove(&object.place);
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Kept<K>>> {
        self.groups.values().flatten()
    }
}

impl<K: Kind> Cache<K> {
    /// Takes an event in. The resources to look at.
    pub fn take(&mut self, event: Event<Watched<K>>) -> BTreeSet<(String, String)> {
        let mut touched = BTreeSet::new();
        match event {
            Event::Init => self.listing = Some(Objects::default()),
            Event::InitApply(object) => {
                self.listing.get_or_insert_default().put(object.into_kept());
            }
            Event::InitDone => {
                let before = std::mem::replace(&mut self.objects, self.listing.take().unwrap_or_default());
                let all = before.all().chain(self.objects.all());
                all.for_each(|object| touch(&mut touched, object));
            }
            Event::Apply(object) => {
                let object = object.into_kept();
                touch(&mut touched, &object);
                if let Some(before) = self.objects.put(object) {
                    touch(&mut touched, &before);
                }
            }
            Event::Delete(object) => {
                let object = object.into_kept();
                touch(&mut touched, &object);
                self.objects.take_out(&object);
            }
        }
        touched
    }

    /// Forgets those of a group that are of no use to anybody any more.
    pub fn retain(&mut self, group: &str, is_of_use: impl Fn(&Kept<K>) -> bool) {
        let Some(members) = self.objects.groups.get_mut(group) else {
            return;
        };
        members.retain(|member| is_of_use(member));
        if members.is_empty() {
            self.objects.groups.remove(group);
        }
    }

    /// Forgets all. The resources to look at.
    pub fn clear(&mut self) -> BTreeSet<(String, String)> {
        self.listing = None;
        self.take(Event::InitDone)
    }

    /// The objects of a group.
    pub fn group(&self, group: &str) -> impl Iterator<Item = &Arc<Kept<K>>> {
        self.objects.groups.get(group).into_iter().flatten()
    }

    /// The object of that name in a group.
    pub fn find(&self, group: &str, place: &Place) -> Option<&Arc<Kept<K>>> {
        self.group(group).find(|object| object.place == *place)
    }

    /// The objects that are under way.
    pub fn active(&self) -> impl Iterator<Item = &Arc<Kept<K>>> {
        self.objects.active.values()
    }

    /// All objects.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Kept<K>>> {
        self.objects.all()
    }
}

fn touch<K>(touched: &mut BTreeSet<(String, String)>, object: &Kept<K>) {
    touched.extend(object.owner.clone().map(|owner| (owner.namespace, owner.name)));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::watch::projections::{Run, Stream};

    fn stream(name: &str, owner: &str) -> Watched<Stream> {
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

    fn run(name: &str, outcome: &str) -> Watched<Run> {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "n", "labels": {
                "meteor.zone/uid": "u", "meteor.zone/generation": "1", "meteor.zone/attempt": "1",
            }},
            "status": {"conditions": [{"type": "Succeeded", "status": outcome}]},
        }))
        .unwrap()
    }

    #[test]
    fn those_under_way_are_known_whatever_happens_to_them() {
        let mut cache = Cache::default();
        let active = |cache: &Cache<Run>| -> Vec<String> {
            let names = cache.active().map(|run| run.place.name.clone());
            names.collect()
        };
        for name in ["b", "a", "c"] {
            cache.take(Event::Apply(run(name, "Unknown")));
        }
        assert_eq!(active(&cache), ["a", "b", "c"]);
        let of_group: Vec<_> = cache.group("u").map(|run| run.place.name.clone()).collect();
        assert_eq!(of_group, ["a", "b", "c"]);
        cache.take(Event::Apply(run("b", "True")));
        cache.take(Event::Delete(run("c", "Unknown")));
        assert_eq!(active(&cache), ["a"]);
        assert_eq!(cache.all().count(), 2);
        cache.take(Event::Init);
        cache.take(Event::InitApply(run("d", "Unknown")));
        cache.take(Event::InitApply(run("b", "True")));
        assert_eq!(active(&cache), ["a"], "a list counts when it is complete");
        cache.take(Event::InitDone);
        assert_eq!(active(&cache), ["d"]);
        cache.clear();
        assert_eq!(active(&cache), [""; 0]);
    }
}
