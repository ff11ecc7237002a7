//! Whose turn it is to get a run: the oldest first, within what may be under way in all and for a namespace.
//!
//! What is counted is in memory. It is complete as soon as every resource was looked at once, and until then a resource
//! may be served before an older one, but never more of them than may be.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use cnbi_shared::config::MaxConcurrent;
use jiff::Timestamp;

use crate::plan::observed::Queue;

/// How long a run that was asked for counts though nobody has seen it.
const UNSEEN: Duration = Duration::from_secs(60);

/// How long a resource keeps its turn without being looked at.
const WAITS: Duration = Duration::from_secs(60);

/// How often those who have waited too long are looked for: every visit would otherwise look at all who wait.
const EXPIRY: Duration = Duration::from_secs(1);

/// A run that has not ended.
#[derive(Clone, Copy, Debug)]
pub struct Active<'a> {
    /// Namespace and name of the run.
    pub run: (&'a str, &'a str),
    /// The uid of the resource that it was made for.
    pub of: &'a str,
    /// The namespace of that resource.
    pub namespace: &'a str,
}

/// Who waits, and which runs were asked for a moment ago.
#[derive(Debug, Default)]
pub struct Turns {
    /// By creation and uid, so that the oldest come first.
    waiting: BTreeMap<(Timestamp, String), Waiting>,
    /// When each of them was created, by uid.
    since: HashMap<String, Timestamp>,
    /// When somebody looked for those who have waited too long.
    expired: Option<Instant>,
    /// By namespace and name of the run.
    requested: HashMap<(String, String), Requested>,
}

/// A resource that waits for nothing but its turn.
#[derive(Clone, Debug)]
struct Waiting {
    namespace: String,
    name: String,
    seen: Instant,
}

#[derive(Clone, Debug)]
struct Requested {
    of: String,
    namespace: String,
    at: Instant,
}

/// How many runs are under way.
#[derive(Clone, Debug, Default)]
struct Tally<'a> {
    total: u32,
    by_namespace: BTreeMap<&'a str, u32>,
}

impl<'a> Tally<'a> {
    fn add(&mut self, namespace: &'a str) {
        self.total = self.total.saturating_add(1);
        let count = self.by_namespace.entry(namespace).or_default();
        *count = count.saturating_add(1);
    }

    fn of(&self, namespace: &str) -> u32 {
        self.by_namespace.get(namespace).copied().unwrap_or(0)
    }

    fn has_room(&self, namespace: &str, limits: MaxConcurrent) -> bool {
        self.total < limits.total && self.of(namespace) < limits.per_namespace
    }
}

impl Turns {
    /// How it stands for one resource. `active` are all runs that are seen under way.
    pub fn queue<'a>(
        &'a self,
        uid: &str,
        namespace: &'a str,
        since: Timestamp,
        active: impl Iterator<Item = Active<'a>>,
        limits: MaxConcurrent,
    ) -> Queue {
        let mut tally = self.tally(active, Some(uid));
        let (running, running_in_namespace) = (tally.total, tally.of(namespace));
        for older in self.waiting.range(..(since, uid.to_owned())).map(|(_, older)| older) {
            if tally.total >= limits.total {
                break;
            }
            // Whoever waits for its own namespace takes nobody else's place.
            if tally.has_room(&older.namespace, limits) {
                tally.add(&older.namespace);
            }
        }
        Queue {
            running,
            running_in_namespace,
            ahead: tally.total - running,
            ahead_in_namespace: tally.of(namespace) - running_in_namespace,
        }
    }

    /// Those that could get a run now, the oldest first: namespace and name.
    pub fn next<'a>(
        &'a self,
        active: impl Iterator<Item = Active<'a>>,
        limits: MaxConcurrent,
    ) -> Vec<(String, String)> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let mut tally = self.tally(active, None);
        let mut next = Vec::new();
        for waiting in self.waiting.values() {
            if tally.total >= limits.total {
                break;
            }
            if tally.has_room(&waiting.namespace, limits) {
                tally.add(&waiting.namespace);
                next.push((waiting.namespace.clone(), waiting.name.clone()));
            }
        }
        next
    }

    fn tally<'a>(&'a self, active: impl Iterator<Item = Active<'a>>, but: Option<&str>) -> Tally<'a> {
        let mut tally = Tally::default();
        let mut unseen: HashMap<(&str, &str), &Requested> = self
            .requested
            .iter()
            .map(|((namespace, name), requested)| ((namespace.as_str(), name.as_str()), requested))
            .collect();
        for active in active {
            unseen.remove(&active.run);
            if Some(active.of) != but {
                tally.add(active.namespace);
            }
        }
        for requested in unseen
            .into_values()
            .filter(|requested| Some(requested.of.as_str()) != but)
        {
            tally.add(&requested.namespace);
        }
        tally
    }

    /// It waits for its turn.
    pub fn wait(&mut self, uid: &str, namespace: &str, name: &str, since: Timestamp, now: Instant) {
        let waiting = Waiting {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            seen: now,
        };
        self.leave(uid);
        self.since.insert(uid.to_owned(), since);
        self.waiting.insert((since, uid.to_owned()), waiting);
    }

    /// It does not wait any more.
    pub fn leave(&mut self, uid: &str) {
        if let Some((uid, since)) = self.since.remove_entry(uid) {
            self.waiting.remove(&(since, uid));
        }
    }

    /// Whoever has that name is gone.
    pub fn leave_by_name(&mut self, namespace: &str, name: &str) {
        self.keep(|waiting| waiting.namespace != namespace || waiting.name != name);
    }

    /// How many wait.
    pub fn waiting(&mut self, now: Instant) -> usize {
        self.expire(now);
        self.waiting.len()
    }

    fn keep(&mut self, stays: impl Fn(&Waiting) -> bool) {
        let since = &mut self.since;
        self.waiting.retain(|(_, uid), waiting| {
            let stays = stays(waiting);
            if !stays {
                since.remove(uid);
            }
            stays
        });
    }

    /// A run is being asked for.
    pub fn request(&mut self, run: (&str, &str), uid: &str, namespace: &str, now: Instant) {
        self.leave(uid);
        let requested = Requested {
            of: uid.to_owned(),
            namespace: namespace.to_owned(),
            at: now,
        };
        self.requested.insert((run.0.to_owned(), run.1.to_owned()), requested);
    }

    /// The run did not come about.
    pub fn settle(&mut self, run: (&str, &str)) {
        self.requested.remove(&(run.0.to_owned(), run.1.to_owned()));
    }

    /// Whatever `is_seen`, by the resource's uid and the run's namespace and name, counts by itself from now on: also once
    /// it has ended.
    pub fn settle_seen(&mut self, is_seen: impl Fn(&str, &str, &str) -> bool) {
        self.requested
            .retain(|(namespace, name), requested| !is_seen(&requested.of, namespace, name));
    }

    /// Forgets what nobody has asked after for long.
    pub fn expire(&mut self, now: Instant) {
        if self
            .expired
            .is_some_and(|last| now.saturating_duration_since(last) < EXPIRY)
        {
            return;
        }
        self.expired = Some(now);
        self.keep(|waiting| now.saturating_duration_since(waiting.seen) < WAITS);
        self.requested
            .retain(|_, requested| now.saturating_duration_since(requested.at) < UNSEEN);
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

    fn active<'a>(run: &'a str, namespace: &'a str) -> Active<'a> {
        Active {
            run: ("builds", run),
            of: run,
            namespace,
        }
    }

    fn may_start(turns: &Turns, uid: &str, namespace: &str, since: i64, active: &[Active<'_>]) -> bool {
        let queue = turns.queue(uid, namespace, at(since), active.iter().copied(), LIMITS);
        queue.running + queue.ahead < LIMITS.total
            && queue.running_in_namespace + queue.ahead_in_namespace < LIMITS.per_namespace
    }

    #[test]
    fn the_oldest_is_served_first() {
        let mut turns = Turns::default();
        let now = Instant::now();
        turns.wait("old", "a", "old", at(1), now);
        turns.wait("young", "b", "young", at(2), now);
        let running = [active("x", "c"), active("y", "c")];
        assert!(may_start(&turns, "old", "a", 1, &running));
        assert!(!may_start(&turns, "young", "b", 2, &running));
        assert_eq!(
            turns.next(running.into_iter(), LIMITS),
            [("a".to_owned(), "old".to_owned())]
        );
        assert_eq!(turns.waiting(now), 2);
        turns.leave("old");
        assert_eq!(turns.waiting(now), 1);
        assert!(may_start(&turns, "young", "b", 2, &running));
    }

    #[test]
    fn a_namespace_that_is_full_holds_up_nobody_else() {
        let mut turns = Turns::default();
        let now = Instant::now();
        for index in 0..10 {
            turns.wait(&format!("a{index}"), "a", "x", at(index), now);
        }
        turns.wait("b", "b", "b", at(100), now);
        let running = [active("x", "a"), active("y", "a")];
        assert!(!may_start(&turns, "a0", "a", 0, &running));
        assert!(may_start(&turns, "b", "b", 100, &running));
        assert_eq!(
            turns.next(running.into_iter(), LIMITS),
            [("b".to_owned(), "b".to_owned())]
        );
    }

    #[test]
    fn what_was_asked_for_counts_once_and_not_for_ever() {
        let mut turns = Turns::default();
        let now = Instant::now();
        for run in ["x", "y", "z"] {
            turns.request(("builds", run), run, "a", now);
        }
        let queue = |turns: &Turns, seen: &[Active<'_>]| turns.queue("u", "a", at(1), seen.iter().copied(), LIMITS);
        assert_eq!(queue(&turns, &[]).running, 3);
        assert_eq!(queue(&turns, &[active("x", "a")]).running, 3);
        turns.settle(("builds", "z"));
        assert_eq!(queue(&turns, &[]).running, 2);
        turns.request(("builds", "w"), "w", "a", now);
        turns.settle_seen(|of, namespace, name| (of, namespace, name) == ("w", "builds", "w"));
        assert_eq!(
            queue(&turns, &[]).running,
            2,
            "one that was seen and has ended counts no more"
        );
        assert_eq!(
            turns.queue("x", "a", at(1), std::iter::empty(), LIMITS).running,
            1,
            "its own does not count"
        );
        turns.expire(now + UNSEEN);
        assert_eq!(queue(&turns, &[]).running, 0);
    }

    /// Whatever waits and runs: the limits hold when all that may start do, one after the other.
    #[test]
    fn the_limits_hold_whoever_comes_first() {
        for seed in 0..200_u64 {
            let mut turns = Turns::default();
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
                    if turns.requested.contains_key(&("builds".to_owned(), uid.clone())) {
                        continue;
                    }
                    if may_start(&turns, uid, namespace, *since, &[]) {
                        turns.request(("builds", uid), uid, namespace, now);
                        started.push(namespace);
                    } else {
                        turns.wait(uid, namespace, uid, at(*since), now);
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
                "seed {seed}: nothing stays unused"
            );
        }
    }
}
