//! The state of one connection, which the limits of connections and of memory for bodies are based on.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{AbortHandle, AbortRegistration};
use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: Arc<Connection>;
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Activity {
    /// It waits for a request, or for the TLS handshake.
    Idle,
    /// The head of a request is arriving.
    Header,
    /// The client is sending a body.
    Body,
    /// The client may send more of a body as soon as there is memory for it.
    Paused,
    /// A whole request has arrived and is being answered.
    Answering,
}

impl Activity {
    fn from_u8(value: u8) -> Self {
        [Self::Idle, Self::Header, Self::Body, Self::Paused, Self::Answering][usize::from(value)]
    }
}

/// One open connection.
#[derive(Debug)]
pub struct Connection {
    peer: IpAddr,
    opened: Instant,
    activity: AtomicU8,
    /// Milliseconds from `opened` to the end of the last request, or to the last bytes of the body that is arriving.
    changed: AtomicU64,
    /// Bytes of an incomplete body.
    buffered: AtomicUsize,
    has_sent_review: AtomicBool,
    abort: AbortHandle,
}

impl Connection {
    /// A new connection, and what to end its task with.
    pub fn new(peer: IpAddr) -> (Arc<Self>, AbortRegistration) {
        let (abort, registration) = AbortHandle::new_pair();
        let connection = Self {
            peer,
            opened: Instant::now(),
            activity: AtomicU8::new(Activity::Idle as u8),
            changed: AtomicU64::new(0),
            buffered: AtomicUsize::new(0),
            has_sent_review: AtomicBool::new(false),
            abort,
        };
        (Arc::new(connection), registration)
    }

    /// Address of the client.
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// What it is doing.
    pub fn activity(&self) -> Activity {
        Activity::from_u8(self.activity.load(Ordering::Relaxed))
    }

    /// Records what it is doing.
    pub fn set_activity(&self, activity: Activity) {
        self.activity.store(activity as u8, Ordering::Relaxed);
    }

    /// Records that it waits for the next request.
    pub fn set_idle(&self) {
        self.buffered.store(0, Ordering::Relaxed);
        self.set_activity(Activity::Idle);
        self.set_changed();
    }

    /// Records that so many bytes of an incomplete body are buffered.
    pub fn set_buffered(&self, bytes: usize) {
        self.buffered.store(bytes, Ordering::Relaxed);
        self.set_activity(Activity::Body);
        self.set_changed();
    }

    /// Closes it: its task ends with the registration.
    pub fn close(&self) {
        self.abort.abort();
    }

    /// Whether it was closed by [`Self::close`].
    pub fn is_closed(&self) -> bool {
        self.abort.is_aborted()
    }

    fn set_changed(&self) {
        let changed = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.changed.store(changed, Ordering::Relaxed);
    }

    /// Records that it has sent a valid review.
    pub fn set_has_sent_review(&self) {
        self.has_sent_review.store(true, Ordering::Relaxed);
    }

    /// Whether it has ever sent a valid review.
    pub fn has_sent_review(&self) -> bool {
        self.has_sent_review.load(Ordering::Relaxed)
    }

    /// Runs `future`, in which [`current`] is this connection.
    pub fn scope<F: Future>(self: Arc<Self>, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// When it was accepted.
    pub fn opened(&self) -> Instant {
        self.opened
    }

    /// Bytes of an incomplete body.
    pub fn buffered(&self) -> usize {
        self.buffered.load(Ordering::Relaxed)
    }

    /// The end of the last request, or of the last piece of the body that is arriving.
    pub fn changed(&self) -> Instant {
        self.opened + Duration::from_millis(self.changed.load(Ordering::Relaxed))
    }
}

/// Calls `with` with the connection whose request this task answers. `None` without one, as in a test of a router.
pub fn current<T>(with: impl FnOnce(&Connection) -> T) -> Option<T> {
    CURRENT.try_with(|connection| with(connection)).ok()
}
