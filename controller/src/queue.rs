//! The build queue: which resource may create its PipelineRun next. The oldest first, within the limits of concurrent builds in
//! total and per namespace.
//!
//! The queue is in memory. After a restart it is restored from the status of all resources; until then a resource may start
//! before an older one, but the limits always hold.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use cnbi_shared::config::MaxConcurrent;
use jiff::Timestamp;

use crate::plan::observed::QueuePosition;

/// How long a run counts that was created but that the watch has not delivered.
const RESERVATION_TTL: Duration = Duration::from_secs(60);

/// How long a resource stays queued without a reconcile.
const ENTRY_TTL: Duration = Duration::from_secs(60);

/// How often expired entries are removed.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

/// A run that has not ended.
#[derive(Clone, Copy, Debug)]
pub struct ActiveRun<'a> {
    /// Namespace and name of the run.
    pub run: (&'a str, &'a str),
    /// The uid of the resource that it builds.
    pub owner_uid: &'a str,
    /// The namespace of that resource.
    pub namespace: &'a str,
}

/// Queued resources, and runs that were created a moment ago.
#[derive(Debug, Default)]
pub struct BuildQueue {
    /// By creation timestamp and uid, the oldest first.
    queued: BTreeMap<(Timestamp, String), QueuedResource>,
    /// Creation timestamps, by uid.
    created: HashMap<String, Timestamp>,
    last_expiry: Option<Instant>,
    /// By namespace and name of the run.
    reservations: HashMap<(String, String), Reservation>,
}

/// A resource that only the limits delay.
#[derive(Clone, Debug)]
struct QueuedResource {
    namespace: String,
    name: String,
    last_reconciled: Instant,
}

/// A run that was created, but that the watch may not have delivered.
#[derive(Clone, Debug)]
struct Reservation {
    owner_uid: String,
    namespace: String,
    at: Instant,
}

/// Numbers of active runs.
#[derive(Clone, Debug, Default)]
struct ActiveCounts<'a> {
    total: u32,
    by_namespace: BTreeMap<&'a str, u32>,
}

impl<'a> ActiveCounts<'a> {
    fn add(&mut self, namespace: &'a str) {
        self.total = self.total.saturating_add(1);
        let count = self.by_namespace.entry(namespace).or_default();
        *count = count.saturating_add(1);
    }

    fn in_namespace(&self, namespace: &str) -> u32 {
        self.by_namespace.get(namespace).copied().unwrap_or(0)
    }

    fn has_capacity(&self, namespace: &str, limits: MaxConcurrent) -> bool {
        self.total < limits.total && self.in_namespace(namespace) < limits.per_namespace
    }
}

impl BuildQueue {
    /// The position of one resource. `active` are all runs in the cache that have not ended.
    pub fn position<'a>(
        &'a self,
        uid: &str,
        namespace: &'a str,
        created: Timestamp,
        active: impl Iterator<Item = ActiveRun<'a>>,
        limits: MaxConcurrent,
    ) -> QueuePosition {
        let mut counts = self.count_active(active, Some(uid));
        let (running, running_in_namespace) = (counts.total, counts.in_namespace(namespace));
        for (_, older) in self.queued.range(..(created, uid.to_owned())) {
            if counts.total >= limits.total {
                break;
            }
            // A resource that waits for its own namespace does not block other namespaces.
            if counts.has_capacity(&older.namespace, limits) {
                counts.add(&older.namespace);
            }
        }
        QueuePosition {
            running,
            running_in_namespace,
            ahead: counts.total - running,
            ahead_in_namespace: counts.in_namespace(namespace) - running_in_namespace,
        }
    }

    /// The queued resources that may start now, the oldest first: namespace and name.
    pub fn next<'a>(
        &'a self,
        active: impl Iterator<Item = ActiveRun<'a>>,
        limits: MaxConcurrent,
    ) -> Vec<(String, String)> {
        if self.queued.is_empty() {
            return Vec::new();
        }
        let mut counts = self.count_active(active, None);
        let mut next = Vec::new();
        for resource in self.queued.values() {
            if counts.total >= limits.total {
                break;
            }
            if counts.has_capacity(&resource.namespace, limits) {
                counts.add(&resource.namespace);
                next.push((resource.namespace.clone(), resource.name.clone()));
            }
        }
        next
    }

    /// Counts active runs and reservations, except those of one resource.
    fn count_active<'a>(
        &'a self,
        active: impl Iterator<Item = ActiveRun<'a>>,
        except: Option<&str>,
    ) -> ActiveCounts<'a> {
        let mut counts = ActiveCounts::default();
        let mut not_observed: HashMap<(&str, &str), &Reservation> = self
            .reservations
            .iter()
            .map(|((namespace, name), reservation)| ((namespace.as_str(), name.as_str()), reservation))
            .collect();
        for active in active {
            not_observed.remove(&active.run);
            if Some(active.owner_uid) != except {
                counts.add(active.namespace);
            }
        }
        for reservation in not_observed
            .into_values()
            .filter(|reservation| Some(reservation.owner_uid.as_str()) != except)
        {
            counts.add(&reservation.namespace);
        }
        counts
    }

    /// Adds a resource, or confirms that it still waits.
    pub fn enqueue(&mut self, uid: &str, namespace: &str, name: &str, created: Timestamp, now: Instant) {
        let resource = QueuedResource {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            last_reconciled: now,
        };
        self.remove(uid);
        self.created.insert(uid.to_owned(), created);
        self.queued.insert((created, uid.to_owned()), resource);
    }

    /// Removes a resource.
    pub fn remove(&mut self, uid: &str) {
        if let Some((uid, created)) = self.created.remove_entry(uid) {
            self.queued.remove(&(created, uid));
        }
    }

    /// Removes a deleted resource.
    pub fn remove_by_name(&mut self, namespace: &str, name: &str) {
        self.retain(|resource| resource.namespace != namespace || resource.name != name);
    }

    /// The number of queued resources.
    pub fn waiting(&mut self, now: Instant) -> usize {
        self.expire(now);
        self.queued.len()
    }

    fn retain(&mut self, keep: impl Fn(&QueuedResource) -> bool) {
        let created = &mut self.created;
        self.queued.retain(|(_, uid), resource| {
            let is_kept = keep(resource);
            if !is_kept {
                created.remove(uid);
            }
            is_kept
        });
    }

    /// Takes a resource out of the queue and reserves a slot for its run, which is about to be created.
    pub fn admit(&mut self, run: (&str, &str), uid: &str, namespace: &str, now: Instant) {
        self.remove(uid);
        let reservation = Reservation {
            owner_uid: uid.to_owned(),
            namespace: namespace.to_owned(),
            at: now,
        };
        self.reservations
            .insert((run.0.to_owned(), run.1.to_owned()), reservation);
    }

    /// Releases the slot of a run that was not created.
    pub fn release(&mut self, run: (&str, &str)) {
        self.reservations.remove(&(run.0.to_owned(), run.1.to_owned()));
    }

    /// Releases the reservations of runs in the cache, which are counted there until they end. Arguments of `is_observed`: uid
    /// of the resource, namespace and name of the run.
    pub fn release_observed(&mut self, is_observed: impl Fn(&str, &str, &str) -> bool) {
        self.reservations
            .retain(|(namespace, name), reservation| !is_observed(&reservation.owner_uid, namespace, name));
    }

    /// Removes expired entries and reservations.
    pub fn expire(&mut self, now: Instant) {
        let is_recent = |last| now.saturating_duration_since(last) < EXPIRY_INTERVAL;
        if self.last_expiry.is_some_and(is_recent) {
            return;
        }
        self.last_expiry = Some(now);
        self.retain(|resource| now.saturating_duration_since(resource.last_reconciled) < ENTRY_TTL);
        self.reservations
            .retain(|_, reservation| now.saturating_duration_since(reservation.at) < RESERVATION_TTL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: MaxConcurrent = MaxConcurrent {
        total: 3,
        per_namespace: 2,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn active<'a>(run: &'a str, namespace: &'a str) -> ActiveRun<'a> {
        ActiveRun {
            run: ("builds", run),
            owner_uid: run,
            namespace,
        }
    }

    fn may_start(queue: &BuildQueue, uid: &str, namespace: &str, created: i64, active: &[ActiveRun<'_>]) -> bool {
        let position = queue.position(uid, namespace, at(created), active.iter().copied(), LIMITS);
        position.running + position.ahead < LIMITS.total
            && position.running_in_namespace + position.ahead_in_namespace < LIMITS.per_namespace
    }

    #[test]
    fn the_oldest_starts_first() {
        let mut queue = BuildQueue::default();
        let now = Instant::now();
        queue.enqueue("old", "a", "old", at(1), now);
        queue.enqueue("young", "b", "young", at(2), now);
        let running = [active("x", "c"), active("y", "c")];
        assert!(may_start(&queue, "old", "a", 1, &running));
        assert!(!may_start(&queue, "young", "b", 2, &running));
        assert_eq!(
            queue.next(running.into_iter(), LIMITS),
            [("a".to_owned(), "old".to_owned())]
        );
        assert_eq!(queue.waiting(now), 2);
        queue.remove("old");
        assert_eq!(queue.waiting(now), 1);
        assert!(may_start(&queue, "young", "b", 2, &running));
    }

    #[test]
    fn a_full_namespace_does_not_block_others() {
        let mut queue = BuildQueue::default();
        let now = Instant::now();
        for index in 0..10 {
            queue.enqueue(&format!("a{index}"), "a", "x", at(index), now);
        }
        queue.enqueue("b", "b", "b", at(100), now);
        let running = [active("x", "a"), active("y", "a")];
        assert!(!may_start(&queue, "a0", "a", 0, &running));
        assert!(may_start(&queue, "b", "b", 100, &running));
        assert_eq!(
            queue.next(running.into_iter(), LIMITS),
            [("b".to_owned(), "b".to_owned())]
        );
    }

    #[test]
    fn a_created_run_counts_once_until_it_expires() {
        let mut queue = BuildQueue::default();
        let now = Instant::now();
        for run in ["x", "y", "z"] {
            queue.admit(("builds", run), run, "a", now);
        }
        let position = |queue: &BuildQueue, observed: &[ActiveRun<'_>]| {
            queue.position("u", "a", at(1), observed.iter().copied(), LIMITS)
        };
        assert_eq!(position(&queue, &[]).running, 3);
        assert_eq!(position(&queue, &[active("x", "a")]).running, 3);
        queue.release(("builds", "z"));
        assert_eq!(position(&queue, &[]).running, 2);
        queue.admit(("builds", "w"), "w", "a", now);
        queue.release_observed(|owner, namespace, name| (owner, namespace, name) == ("w", "builds", "w"));
        assert_eq!(
            position(&queue, &[]).running,
            2,
            "a run that was observed and has ended does not count"
        );
        assert_eq!(
            queue.position("x", "a", at(1), std::iter::empty(), LIMITS).running,
            1,
            "its own run does not count"
        );
        queue.expire(now + RESERVATION_TTL);
        assert_eq!(position(&queue, &[]).running, 0);
    }

    /// Starts all resources that may start, one after the other, for random queues.
    #[test]
    fn the_limits_hold_in_any_order() {
        for seed in 0..200_u64 {
            let mut queue = BuildQueue::default();
            let now = Instant::now();
            let random = |index: u64, of: u64| {
                (seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(index * 7919) >> 16) % of
            };
            let names: Vec<(String, &str, i64)> = (0..12)
                .map(|index| {
                    let namespace = ["a", "b", "c"][usize::try_from(random(index, 3)).unwrap()];
                    (
                        format!("u{index}"),
                        namespace,
                        i64::try_from(random(index + 50, 5)).unwrap(),
                    )
                })
                .collect();
            let mut started: Vec<&str> = Vec::new();
            for round in 0..3 {
                for (uid, namespace, since) in &names {
                    if queue.reservations.contains_key(&("builds".to_owned(), uid.clone())) {
                        continue;
                    }
                    if may_start(&queue, uid, namespace, *since, &[]) {
                        queue.admit(("builds", uid), uid, namespace, now);
                        started.push(namespace);
                    } else {
                        queue.enqueue(uid, namespace, uid, at(*since), now);
                    }
                }
                assert!(started.len() <= 3, "seed {seed}, round {round}");
                for namespace in ["a", "b", "c"] {
                    let count = started.iter().filter(|other| **other == namespace).count();
                    assert!(count <= 2, "seed {seed}: {namespace} {count}");
                }
            }
            let distinct = names
                .iter()
                .map(|(_, namespace, _)| namespace)
                .collect::<std::collections::BTreeSet<_>>();
            assert_eq!(
                started.len(),
                if distinct.len() > 1 { 3 } else { 2 },
                "seed {seed}: all slots are used"
            );
        }
    }
}
