//! Objects of one kind, indexed by the resource that they belong to. Filled with the events of a watch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kube::runtime::watcher::Event;

use crate::plan::action::NamespacedName;
use crate::watch::projections::{ProjectedKind, Projection, WatchedObject};

/// All objects of one kind.
#[derive(Debug)]
pub struct Cache<K> {
    objects: Objects<K>,
    /// Objects of a list that is not complete yet.
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

#[derive(Debug)]
struct Objects<K> {
    /// By [`ProjectedKind::index_key`].
    groups: HashMap<String, BTreeMap<NamespacedName, Arc<Projection<K>>>>,
    /// The active ones: a few of thousands, which every reconcile reads.
    active: BTreeMap<NamespacedName, Arc<Projection<K>>>,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self {
            groups: HashMap::new(),
            active: BTreeMap::new(),
        }
    }
}

impl<K: ProjectedKind> Objects<K> {
    /// Inserts an object. Returns the object that it replaces.
    fn insert(&mut self, object: Projection<K>) -> Option<Arc<Projection<K>>> {
        let group = object.data.index_key(&object.key)?;
        let object = Arc::new(object);
        if object.data.is_active() {
            self.active.insert(object.key.clone(), Arc::clone(&object));
        } else {
            self.active.remove(&object.key);
        }
        self.groups.entry(group).or_default().insert(object.key.clone(), object)
    }

    fn remove(&mut self, object: &Projection<K>) {
        self.active.remove(&object.key);
        if let Some(group) = object.data.index_key(&object.key) {
            self.retain(&group, |member| member.key != object.key);
        }
    }

    fn retain(&mut self, group: &str, keep: impl Fn(&Projection<K>) -> bool) {
        if let Some(members) = self.groups.get_mut(group) {
            members.retain(|_, member| keep(member));
            if members.is_empty() {
                self.groups.remove(group);
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Projection<K>>> {
        self.groups.values().flat_map(BTreeMap::values)
    }
}

impl<K: ProjectedKind> Cache<K> {
    /// Applies an event. Returns namespace and name of the resources to reconcile: also the previous owner of an object, and
    /// the owners of objects that a new list no longer contains.
    pub fn apply(&mut self, event: Event<WatchedObject<K>>) -> BTreeSet<(String, String)> {
        let mut owners = BTreeSet::new();
        match event {
            Event::Init => self.listing = Some(Objects::default()),
            Event::InitApply(object) => {
                self.listing.get_or_insert_default().insert(object.into_projection());
            }
            Event::InitDone => {
                let before = std::mem::replace(&mut self.objects, self.listing.take().unwrap_or_default());
                let all = before.all().chain(self.objects.all());
                all.for_each(|object| add_owner(&mut owners, object));
            }
            Event::Apply(object) => {
                let object = object.into_projection();
                add_owner(&mut owners, &object);
                if let Some(before) = self.objects.insert(object) {
                    add_owner(&mut owners, &before);
                }
            }
            Event::Delete(object) => {
                let object = object.into_projection();
                add_owner(&mut owners, &object);
                self.objects.remove(&object);
            }
        }
        owners
    }

    /// Drops the objects of a group that are not needed any more.
    pub fn retain(&mut self, group: &str, keep: impl Fn(&Projection<K>) -> bool) {
        self.objects.retain(group, keep);
    }

    /// Drops all objects. Returns the resources to reconcile.
    pub fn clear(&mut self) -> BTreeSet<(String, String)> {
        self.listing = None;
        self.apply(Event::InitDone)
    }

    /// The objects of a group, ordered by key.
    pub fn group(&self, group: &str) -> impl Iterator<Item = &Arc<Projection<K>>> {
        self.objects.groups.get(group).into_iter().flat_map(BTreeMap::values)
    }

    /// The object of that key in a group.
    pub fn find(&self, group: &str, key: &NamespacedName) -> Option<&Arc<Projection<K>>> {
        self.objects.groups.get(group)?.get(key)
    }

    /// The active objects.
    pub fn active(&self) -> impl Iterator<Item = &Arc<Projection<K>>> {
        self.objects.active.values()
    }

    /// All objects.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Projection<K>>> {
        self.objects.all()
    }
}

fn add_owner<K>(owners: &mut BTreeSet<(String, String)>, object: &Projection<K>) {
    owners.extend(object.owner.clone().map(|owner| (owner.namespace, owner.name)));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::watch::projections::{ImageStream, PipelineRun};

    fn stream(name: &str, owner: &str) -> WatchedObject<ImageStream> {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "n", "annotations": {"meteor.zone/owned-by": owner}},
        }))
        .unwrap()
    }

    fn names(owners: BTreeSet<(String, String)>) -> Vec<String> {
        owners
            .into_iter()
            .map(|(namespace, name)| format!("{namespace}/{name}"))
            .collect()
    }

    #[test]
    fn an_event_names_the_current_and_the_previous_owner() {
        let mut cache = Cache::default();
        assert_eq!(names(cache.apply(Event::Init)), [""; 0]);
        cache.apply(Event::InitApply(stream("s", "a/s")));
        assert_eq!(cache.all().count(), 0, "an incomplete list is not used");
        assert_eq!(names(cache.apply(Event::InitDone)), ["a/s"]);
        assert_eq!(names(cache.apply(Event::Apply(stream("s", "b/s")))), ["a/s", "b/s"]);
        let key = NamespacedName::new("n", "s");
        assert!(cache.find("n/s", &key).is_some());
        // The watch was interrupted, and the object was deleted meanwhile.
        cache.apply(Event::Init);
        assert!(cache.find("n/s", &key).is_some());
        assert_eq!(names(cache.apply(Event::InitDone)), ["b/s"]);
        assert!(cache.find("n/s", &key).is_none());
        cache.apply(Event::Apply(stream("t", "c/t")));
        assert_eq!(names(cache.apply(Event::Delete(stream("t", "c/t")))), ["c/t"]);
        assert_eq!(cache.all().count(), 0);
        cache.apply(Event::Apply(stream("t", "c/t")));
        assert_eq!(names(cache.clear()), ["c/t"]);
    }

    fn run(name: &str, outcome: &str) -> WatchedObject<PipelineRun> {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "n", "labels": {
                "meteor.zone/uid": "u", "meteor.zone/generation": "1", "meteor.zone/attempt": "1",
            }},
            "status": {"conditions": [{"type": "Succeeded", "status": outcome}]},
        }))
        .unwrap()
    }

    #[test]
    fn the_active_runs_follow_every_event() {
        let mut cache = Cache::default();
        let active = |cache: &Cache<PipelineRun>| -> Vec<String> {
            let names = cache.active().map(|run| run.key.name.clone());
            names.collect()
        };
        for name in ["b", "a", "c"] {
            cache.apply(Event::Apply(run(name, "Unknown")));
        }
        assert_eq!(active(&cache), ["a", "b", "c"]);
        let of_group: Vec<_> = cache.group("u").map(|run| run.key.name.clone()).collect();
        assert_eq!(of_group, ["a", "b", "c"]);
        cache.apply(Event::Apply(run("b", "True")));
        cache.apply(Event::Delete(run("c", "Unknown")));
        assert_eq!(active(&cache), ["a"]);
        assert_eq!(cache.all().count(), 2);
        cache.apply(Event::Init);
        cache.apply(Event::InitApply(run("d", "Unknown")));
        cache.apply(Event::InitApply(run("b", "True")));
        assert_eq!(active(&cache), ["a"], "an incomplete list is not used");
        cache.apply(Event::InitDone);
        assert_eq!(active(&cache), ["d"]);
        cache.clear();
        assert_eq!(active(&cache), [""; 0]);
    }
}
