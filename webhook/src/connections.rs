//! The open connections of a listener, and which of them is closed when a new one arrives at the limit.
//!
//! Accepting a connection never waits. At the limit, one open connection is closed for each new one:
//!
//! 1. a connection that has never sent a valid review (one in its TLS handshake is one of these): of the peer address that
//!    holds most of them, the one that was opened first;
//! 2. then an idle connection that has sent one: of the peer address that holds most of them, the one that was idle longest;
//! 3. and only then one whose request is being answered.
//!
//! No peer has a limit of its own, because API servers behind NAT share an address.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::AbortRegistration;
use tokio::time::Instant;

use crate::connection::{Activity, Connection};
use crate::metrics::ConnectionMetrics;

/// The log has one warning per interval while connections are exhausted.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// Why a connection is closed before its time. The order is that of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Eviction {
    /// Limit of connections: it has never sent a valid review.
    NoReview,
    /// Limit of connections: it has sent one, and is idle.
    Idle,
    /// Limit of connections: its request is being answered, as on all others.
    InReview,
    /// Limit of memory for bodies: it was in the middle of a body.
    Body,
}

impl Eviction {
    /// The reason for closing this connection at the limit of connections.
    fn of(connection: &Connection) -> Self {
        match (connection.activity(), connection.has_sent_review()) {
            (Activity::Answering, _) => Self::InReview,
            (_, false) => Self::NoReview,
            (_, true) => Self::Idle,
        }
    }

    /// The label of a metric.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoReview => "no_review",
            Self::Idle => "idle",
            Self::InReview => "in_review",
            Self::Body => "body",
        }
    }
}

/// The open connections of one listener.
#[derive(Debug)]
pub struct ConnectionTable {
    limit: usize,
    metrics: ConnectionMetrics,
    open: Mutex<Vec<Arc<Connection>>>,
    warned: Mutex<Option<Instant>>,
}

impl ConnectionTable {
    /// At most `limit` connections are open at once.
    pub fn new(limit: usize, metrics: ConnectionMetrics) -> Self {
        Self {
            limit: limit.max(1),
            metrics,
            open: Mutex::default(),
            warned: Mutex::default(),
        }
    }

    /// Adds a connection; at the limit, closes another one. Whatever serves the connection has to end with the registration.
    pub fn open(self: &Arc<Self>, peer: IpAddr) -> (OpenConnection, AbortRegistration) {
        let (connection, registration) = Connection::new(peer);
        let mut open = self.lock();
        while open.len() >= self.limit {
            self.close_least_useful(&mut open);
        }
        open.push(Arc::clone(&connection));
        self.metrics.open.set(i64::try_from(open.len()).unwrap_or(i64::MAX));
        drop(open);
        let table = Arc::clone(self);
        (OpenConnection { connection, table }, registration)
    }

    /// Closes one connection, because the process cannot open more files.
    pub fn evict_one(&self) {
        self.close_least_useful(&mut self.lock());
    }

    /// Closes connections in the middle of a body until `bytes` are freed: those that have sent nothing for `stalled`, and
    /// where `is_for_reviewed`, the body that needs the memory, is of a connection that has sent a valid review, those that
    /// never have. The latter are first in any case, and then the most bytes for the longest time.
    pub fn evict_bodies(&self, bytes: usize, stalled: Duration, is_for_reviewed: bool) {
        let now = Instant::now();
        let mut open = self.lock();
        let mut freed = 0;
        while freed < bytes {
            let candidates = open.iter().enumerate().filter_map(|(index, connection)| {
                let activity = connection.activity();
                let buffered = connection.buffered();
                if buffered == 0 || !matches!(activity, Activity::Body | Activity::Paused) {
                    return None;
                }
                let silence = now.saturating_duration_since(connection.changed());
                let is_new = !connection.has_sent_review();
                let is_stalled = activity == Activity::Body && silence >= stalled;
                let cost = buffered as u128 * silence.as_millis();
                (is_stalled || is_new && is_for_reviewed).then_some(((is_new, cost), index, buffered))
            });
            let Some((_, index, buffered)) = candidates.max() else {
                return;
            };
            freed += buffered;
            self.close(&mut open, index, Eviction::Body);
        }
    }

    fn close_least_useful(&self, open: &mut Vec<Arc<Connection>>) {
        let Some(eviction) = open.iter().map(|connection| Eviction::of(connection)).min() else {
            return;
        };
        let candidates = || {
            open.iter()
                .enumerate()
                .filter(|(_, open)| Eviction::of(open) == eviction)
        };
        let mut of_peer: HashMap<IpAddr, usize> = HashMap::new();
        for (_, connection) in candidates() {
            *of_peer.entry(connection.peer()).or_default() += 1;
        }
        let least_useful = candidates().max_by_key(|(_, connection)| {
            let since = match eviction {
                Eviction::NoReview => connection.opened(),
                _ => connection.changed(),
            };
            (of_peer[&connection.peer()], Reverse(since))
        });
        if let Some((index, _)) = least_useful {
            self.close(open, index, eviction);
        }
    }

    fn close(&self, open: &mut Vec<Arc<Connection>>, index: usize, eviction: Eviction) {
        let connection = open.swap_remove(index);
        connection.close();
        self.metrics.evicted(eviction.label());
        let (peer, reason) = (connection.peer(), eviction.label());
        tracing::debug!(%peer, reason, "connection closed at a limit");
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| at.elapsed() >= WARN_INTERVAL) {
            *warned = Some(Instant::now());
            let listener = self.metrics.listener();
            tracing::warn!(%peer, reason, listener, limit = self.limit, "connections exhausted: closing some to accept others");
        }
    }

    fn remove(&self, connection: &Arc<Connection>) {
        let mut open = self.lock();
        // One that was evicted is not in there any more.
        if let Some(index) = open.iter().position(|other| Arc::ptr_eq(other, connection)) {
            open.swap_remove(index);
        }
        self.metrics.open.set(i64::try_from(open.len()).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in its table; dropping it takes it out.
#[derive(Debug)]
pub struct OpenConnection {
    connection: Arc<Connection>,
    table: Arc<ConnectionTable>,
}

impl OpenConnection {
    /// The connection itself.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.table.remove(&self.connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const FEW: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    struct Opened(OpenConnection);

    impl Opened {
        fn is_closed(&self) -> bool {
            self.0.connection.is_closed()
        }

        fn reviewed(self, activity: Activity) -> Self {
            self.0.connection.set_has_sent_review();
            self.0.connection.set_activity(activity);
            self
        }
    }

    fn table(limit: usize) -> (Arc<ConnectionTable>, impl Fn(IpAddr) -> Opened) {
        let table = Arc::new(ConnectionTable::new(limit, ConnectionMetrics::default()));
        let opens = Arc::clone(&table);
        (table, move |peer| Opened(opens.open(peer).0))
    }

    async fn pause() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn connections_without_a_review_are_closed_first_and_the_oldest_of_the_busiest_peer() {
        let (_table, open) = table(4);
        let reviewed = open(MANY).reviewed(Activity::Idle);
        pause().await;
        let of_few = open(FEW);
        pause().await;
        let older = open(MANY);
        pause().await;
        let newer = open(MANY);
        pause().await;
        let first = open(MANY);
        assert!(older.is_closed() && !newer.is_closed());
        let _second = open(MANY);
        assert!(newer.is_closed() && !first.is_closed());
        assert!(!of_few.is_closed() && !reviewed.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_review_in_progress_is_interrupted_last() {
        let (_table, open) = table(3);
        let busy = open(MANY).reviewed(Activity::Answering);
        let idle_long = open(MANY).reviewed(Activity::Idle);
        pause().await;
        let idle = open(MANY).reviewed(Activity::Idle);
        let third = open(MANY).reviewed(Activity::Answering);
        assert!(idle_long.is_closed() && !idle.is_closed() && !busy.is_closed());
        let fourth = open(MANY).reviewed(Activity::Answering);
        assert!(idle.is_closed());
        pause().await;
        let fifth = open(MANY);
        assert_eq!(
            [&busy, &third, &fourth, &fifth]
                .map(Opened::is_closed)
                .iter()
                .filter(|closed| **closed)
                .count(),
            1,
            "all were busy, and the new one is always let in"
        );
        assert!(!fifth.is_closed());
    }

    #[test]
    fn a_connection_that_ends_makes_room() {
        let (table, open) = table(2);
        let first = open(MANY);
        drop(open(MANY));
        let _third = open(MANY);
        assert!(!first.is_closed());
        assert_eq!(table.lock().len(), 2);
        assert_eq!(table.metrics.open.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn stalled_bodies_are_closed_until_enough_is_freed() {
        let (table, open) = table(10);
        let stalled = Duration::from_millis(50);
        let reviewed = open(MANY).reviewed(Activity::Idle);
        let (large, small, paused) = (open(MANY), open(MANY), open(MANY));
        for (connection, bytes) in [(&reviewed, 9000), (&large, 5000), (&small, 10), (&paused, 9000)] {
            connection.0.connection.set_buffered(bytes);
        }
        paused.0.connection.set_activity(Activity::Paused);
        table.evict_bodies(1, stalled, false);
        assert!(!large.is_closed(), "it has not stalled yet");
        tokio::time::sleep(stalled).await;
        let arriving = open(MANY);
        arriving.0.connection.set_buffered(9000);
        table.evict_bodies(5000, stalled, false);
        assert!(large.is_closed() && !small.is_closed() && !reviewed.is_closed());
        table.evict_bodies(5000, stalled, false);
        assert!(small.is_closed() && reviewed.is_closed());
        table.evict_bodies(usize::MAX, stalled, false);
        assert!(!paused.is_closed() && !arriving.is_closed());
        table.evict_bodies(usize::MAX, stalled, true);
        assert!(paused.is_closed() && arriving.is_closed());
    }
}
