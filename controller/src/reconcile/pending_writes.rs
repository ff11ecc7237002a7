//! What the controller remembers of its own doings, because nobody else can tell it, or not yet.
//!
//! None of it is needed to be right after a restart: it spares questions, and keeps a visit from acting on what the caches
//! have not caught up with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::Resource;

use crate::plan::action::Place;
use crate::plan::observed::Refusal;
use crate::watch::packed::Packed;
use crate::watch::stored::Stored;

/// How long it is believed that a copy of a Secret is as it was.
const COPY: Duration = Duration::from_secs(300);

/// What is remembered.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<(String, String), Remembered>>);

/// What is remembered of one resource.
#[derive(Debug, Default)]
struct Remembered {
    uid: Box<str>,
    /// The resource as our last write left it, until the watch has brought as much.
    written: Option<Arc<Packed>>,
    /// And under which configuration. Few are ever refused.
    refusal: Option<Box<(Refusal, i64)>>,
    copies: HashMap<(String, String), (Instant, Option<Copied>)>,
}

/// A copy of a Secret that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Its uid.
    pub uid: Option<String>,
    /// The version of the Secret that it was copied from.
    pub version: Option<String>,
}

impl Memory {
    fn all(&self) -> MutexGuard<'_, HashMap<(String, String), Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, resource: &Stored, act: impl FnOnce(&mut Remembered) -> T) -> T {
        self.with_names(resource.names(), resource.uid(), act)
    }

    fn with_names<T>(&self, (namespace, name): (&str, &str), uid: &str, act: impl FnOnce(&mut Remembered) -> T) -> T {
        let mut all = self.all();
        let remembered = all.entry((namespace.to_owned(), name.to_owned())).or_default();
        if *remembered.uid != *uid {
            // Another one that had the name before: nothing of it counts.
            *remembered = Remembered {
                uid: uid.into(),
                ..Remembered::default()
            };
        }
        act(remembered)
    }

    /// The newer of what the watch has brought and what our own last write has left.
    pub fn newest(&self, seen: &Arc<Packed>) -> Arc<Packed> {
        self.with_names(seen.names(), seen.uid(), |remembered| {
            let Some(written) = &remembered.written else {
                return Arc::clone(seen);
            };
            if version(seen) >= version(written) {
                remembered.written = None;
                return Arc::clone(seen);
            }
            Arc::clone(written)
        })
    }

    /// This is what our write left.
    pub fn wrote(&self, resource: Packed) {
        let resource = Arc::new(resource);
        self.with_names(resource.names(), resource.uid(), |remembered| {
            remembered.written = Some(Arc::clone(&resource));
        });
    }

    /// The resource as our last write left it, where the watch has not brought as much yet.
    pub fn written(&self, resource: &Stored) -> Option<Arc<Packed>> {
        let (namespace, name) = resource.names();
        let all = self.all();
        let remembered = all.get(&(namespace.to_owned(), name.to_owned()))?;
        remembered
            .written
            .clone()
            .filter(|_| *remembered.uid == *resource.uid())
    }

    /// The resource is gone. Whether anything was remembered of it: then it has not gone by our doing.
    pub fn forget(&self, namespace: &str, name: &str) -> bool {
        self.all().remove(&(namespace.to_owned(), name.to_owned())).is_some()
    }

    /// The API server did not take a run, under that configuration.
    pub fn refused(&self, resource: &Stored, mut refusal: Refusal, configuration: i64) {
        self.with(resource, |remembered| {
            let before = remembered.refusal.take().map(|before| before.0);
            let before = before.filter(|before| before.run == refusal.run && before.retry == refusal.retry);
            refusal.times = before.map_or(1, |before| before.times.saturating_add(1));
            remembered.refusal = Some(Box::new((refusal, configuration)));
        });
    }

    /// The last refusal under that configuration. Another one may make another run.
    pub fn refusal(&self, resource: &Stored, configuration: i64) -> Option<Refusal> {
        self.with(resource, |remembered| {
            let (refusal, under) = &**remembered.refusal.as_ref()?;
            (*under == configuration).then(|| refusal.clone())
        })
    }

    /// What is known of a copy; `None`: somebody has to look.
    pub fn copy(&self, resource: &Stored, place: &Place) -> Option<Option<Copied>> {
        self.with(resource, |remembered| {
            let key = (place.namespace.clone(), place.name.clone());
            let (learned, copied) = remembered.copies.get(&key)?;
            // Only we make copies, so that there is none stays true.
            (copied.is_none() || learned.elapsed() < COPY).then(|| copied.clone())
        })
    }

    /// This is how a copy stands.
    pub fn copied(&self, resource: &Stored, place: &Place, copied: Option<Copied>) {
        self.with(resource, |remembered| {
            let key = (place.namespace.clone(), place.name.clone());
            remembered.copies.insert(key, (Instant::now(), copied));
        });
    }
}

/// Versions of one kind can be compared as numbers.
fn version(resource: &Packed) -> u128 {
    let version = resource.meta().resource_version.as_deref();
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::observed::RefusalKind;

    fn packed(uid: &str, version: &str) -> Packed {
        let json =
            format!(r#"{{"metadata":{{"namespace":"a","name":"x","uid":"{uid}","resourceVersion":"{version}"}}}}"#);
        serde_json::from_str(&json).unwrap()
    }

    fn stored(uid: &str, version: &str) -> Stored {
        packed(uid, version).unpack()
    }

    fn newest(memory: &Memory, uid: &str, version: &str) -> String {
        let newest = memory.newest(&Arc::new(packed(uid, version)));
        newest.meta().resource_version.clone().unwrap()
    }

    #[test]
    fn what_was_written_counts_until_the_watch_brings_it() {
        let memory = Memory::default();
        assert_eq!(newest(&memory, "1", "9"), "9");
        memory.wrote(packed("1", "10"));
        assert_eq!(newest(&memory, "1", "9"), "10");
        assert_eq!(newest(&memory, "1", "11"), "11");
        assert_eq!(newest(&memory, "1", "10"), "10");
        memory.wrote(packed("1", "12"));
        assert_eq!(
            memory
                .written(&stored("1", "9"))
                .unwrap()
                .meta()
                .resource_version
                .as_deref(),
            Some("12")
        );
        assert!(memory.written(&stored("2", "9")).is_none());
        assert_eq!(newest(&memory, "2", "11"), "11", "a namesake is somebody else");
        assert!(memory.forget("a", "x"));
        assert!(memory.written(&stored("2", "9")).is_none());
        assert!(!memory.forget("a", "x"), "to ask is not to remember");
    }

    #[test]
    fn a_refusal_counts_for_its_run_and_its_configuration() {
        let memory = Memory::default();
        let resource = stored("1", "1");
        let refusal = |run: &str| Refusal {
            run: run.to_owned(),
            kind: RefusalKind::Other,
            at: jiff::Timestamp::UNIX_EPOCH,
            times: 0,
            retry: None,
            message: String::new(),
        };
        memory.refused(&resource, refusal("r"), 1);
        memory.refused(&resource, refusal("r"), 1);
        assert_eq!(memory.refusal(&resource, 1).unwrap().times, 2);
        assert_eq!(memory.refusal(&resource, 2), None);
        memory.refused(&resource, refusal("other"), 1);
        assert_eq!(memory.refusal(&resource, 1).unwrap().times, 1);
    }

    #[test]
    fn a_copy_is_known_once_somebody_has_looked() {
        let memory = Memory::default();
        let (resource, place) = (stored("1", "1"), Place::new("n", "s"));
        assert_eq!(memory.copy(&resource, &place), None);
        memory.copied(&resource, &place, None);
        assert_eq!(memory.copy(&resource, &place), Some(None));
        let copied = Copied {
            uid: None,
            version: Some("7".to_owned()),
        };
        memory.copied(&resource, &place, Some(copied.clone()));
        assert_eq!(memory.copy(&resource, &place), Some(Some(copied)));
    }
}
