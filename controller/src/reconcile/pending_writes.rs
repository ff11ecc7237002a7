//! Results of the controller's own writes that the watches have not delivered yet, and cached metadata of secret copies.
//!
//! Without them a reconcile would act on stale caches. They are not needed after a restart.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::plan::action::NamespacedName;
use crate::plan::observed::Rejection;
use crate::watch::stored::Stored;

/// How long the metadata of a copy of a Secret is cached.
const COPY_TTL: Duration = Duration::from_secs(300);

/// Pending writes of all resources, by namespace and name.
#[derive(Debug, Default)]
pub struct PendingWrites(Mutex<HashMap<(String, String), Entry>>);

/// Pending writes of one resource.
#[derive(Debug, Default)]
struct Entry {
    uid: Box<str>,
    /// The response to the last write, until the watch delivers the same or a newer version.
    written: Option<Arc<Stored>>,
    /// The last rejection, and the generation of the configuration at that time.
    rejection: Option<Box<(Rejection, i64)>>,
    copies: HashMap<NamespacedName, (Instant, Option<CopyMetadata>)>,
}

/// Metadata of a copy of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyMetadata {
    /// Its uid.
    pub uid: Option<String>,
    /// The resource version of the original when it was copied.
    pub version: Option<String>,
}

impl PendingWrites {
    fn all(&self) -> MutexGuard<'_, HashMap<(String, String), Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, resource: &Stored, act: impl FnOnce(&mut Entry) -> T) -> T {
        let (namespace, name) = resource.names();
        let mut all = self.all();
        let entry = all.entry((namespace.to_owned(), name.to_owned())).or_default();
        if *entry.uid != *resource.uid() {
            // The entry belongs to a deleted resource of the same name.
            *entry = Entry {
                uid: resource.uid().into(),
                ..Entry::default()
            };
        }
        act(entry)
    }

    /// The newer of the watched resource and the response to the last write.
    pub fn newest(&self, watched: &Arc<Stored>) -> Arc<Stored> {
        self.with(watched, |entry| {
            let Some(written) = &entry.written else {
                return Arc::clone(watched);
            };
            if version(watched) >= version(written) {
                entry.written = None;
                return Arc::clone(watched);
            }
            Arc::clone(written)
        })
    }

    /// Records the response to a write.
    pub fn record(&self, resource: Stored) {
        let resource = Arc::new(resource);
        self.with(&resource, |entry| entry.written = Some(Arc::clone(&resource)));
    }

    /// The response to the last write, if the watch has not delivered it yet.
    pub fn get(&self, resource: &Stored) -> Option<Arc<Stored>> {
        let (namespace, name) = resource.names();
        let all = self.all();
        let entry = all.get(&(namespace.to_owned(), name.to_owned()))?;
        entry.written.clone().filter(|_| *entry.uid == *resource.uid())
    }

    /// Forgets a deleted resource. Returns whether there was an entry: the entry is removed together with the finalizer, so one
    /// that is left shows that another client removed the finalizer.
    pub fn forget(&self, namespace: &str, name: &str) -> bool {
        self.all().remove(&(namespace.to_owned(), name.to_owned())).is_some()
    }

    /// Records that the API server has rejected a run. `configuration` is the generation of the active configuration.
    pub fn record_rejection(&self, resource: &Stored, mut rejection: Rejection, configuration: i64) {
        self.with(resource, |entry| {
            let before = entry.rejection.take().map(|before| before.0);
            let before = before.filter(|before| before.run == rejection.run && before.retry == rejection.retry);
            rejection.times = before.map_or(1, |before| before.times.saturating_add(1));
            entry.rejection = Some(Box::new((rejection, configuration)));
        });
    }

    /// The last rejection under that configuration. With another configuration the run may differ.
    pub fn rejection(&self, resource: &Stored, configuration: i64) -> Option<Rejection> {
        self.with(resource, |entry| {
            let (rejection, under) = &**entry.rejection.as_ref()?;
            (*under == configuration).then(|| rejection.clone())
        })
    }

    /// Cached metadata of a copy: `None` if it has to be read, `Some(None)` if no copy exists.
    pub fn secret_copy(&self, resource: &Stored, key: &NamespacedName) -> Option<Option<CopyMetadata>> {
        self.with(resource, |entry| {
            let (read, copy) = entry.copies.get(key)?;
            // Only the controller creates copies, so the absence of one does not expire.
            (copy.is_none() || read.elapsed() < COPY_TTL).then(|| copy.clone())
        })
    }

    /// Caches the metadata of a copy, or its absence.
    pub fn record_secret_copy(&self, resource: &Stored, key: &NamespacedName, copy: Option<CopyMetadata>) {
        self.with(resource, |entry| {
            entry.copies.insert(key.clone(), (Instant::now(), copy));
        });
    }
}

/// Resource versions of one kind are comparable as numbers.
fn version(resource: &Stored) -> u128 {
    let version = resource.metadata.resource_version.as_deref();
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::observed::RejectionKind;

    fn stored(uid: &str, version: &str) -> Stored {
        let json =
            format!(r#"{{"metadata":{{"namespace":"a","name":"x","uid":"{uid}","resourceVersion":"{version}"}}}}"#);
        serde_json::from_str(&json).unwrap()
    }

    fn newest(pending_writes: &PendingWrites, uid: &str, version: &str) -> String {
        let newest = pending_writes.newest(&Arc::new(stored(uid, version)));
        newest.metadata.resource_version.clone().unwrap()
    }

    #[test]
    fn the_last_write_is_used_until_the_watch_delivers_it() {
        let pending_writes = PendingWrites::default();
        assert_eq!(newest(&pending_writes, "1", "9"), "9");
        pending_writes.record(stored("1", "10"));
        assert_eq!(newest(&pending_writes, "1", "9"), "10");
        assert_eq!(newest(&pending_writes, "1", "11"), "11");
        assert_eq!(newest(&pending_writes, "1", "10"), "10");
        pending_writes.record(stored("1", "12"));
        assert_eq!(
            pending_writes
                .get(&stored("1", "9"))
                .unwrap()
                .metadata
                .resource_version
                .as_deref(),
            Some("12")
        );
        assert!(pending_writes.get(&stored("2", "9")).is_none());
        assert_eq!(
            newest(&pending_writes, "2", "11"),
            "11",
            "another resource of the same name"
        );
        assert!(pending_writes.forget("a", "x"));
        assert!(pending_writes.get(&stored("2", "9")).is_none());
        assert!(!pending_writes.forget("a", "x"), "reading creates no entry");
    }

    #[test]
    fn a_rejection_belongs_to_its_run_and_its_configuration() {
        let pending_writes = PendingWrites::default();
        let resource = stored("1", "1");
        let rejection = |run: &str| Rejection {
            run: run.to_owned(),
            kind: RejectionKind::Other,
            at: jiff::Timestamp::UNIX_EPOCH,
            times: 0,
            retry: None,
            message: String::new(),
        };
        pending_writes.record_rejection(&resource, rejection("r"), 1);
        pending_writes.record_rejection(&resource, rejection("r"), 1);
        assert_eq!(pending_writes.rejection(&resource, 1).unwrap().times, 2);
        assert_eq!(pending_writes.rejection(&resource, 2), None);
        pending_writes.record_rejection(&resource, rejection("other"), 1);
        assert_eq!(pending_writes.rejection(&resource, 1).unwrap().times, 1);
    }

    #[test]
    fn the_absence_of_a_copy_is_cached() {
        let pending_writes = PendingWrites::default();
        let (resource, key) = (stored("1", "1"), NamespacedName::new("n", "s"));
        assert_eq!(pending_writes.secret_copy(&resource, &key), None);
        pending_writes.record_secret_copy(&resource, &key, None);
        assert_eq!(pending_writes.secret_copy(&resource, &key), Some(None));
        let copied = CopyMetadata {
            uid: None,
            version: Some("7".to_owned()),
        };
        pending_writes.record_secret_copy(&resource, &key, Some(copied.clone()));
        assert_eq!(pending_writes.secret_copy(&resource, &key), Some(Some(copied)));
    }
}
