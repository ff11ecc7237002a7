//! Finds out what the rules need to know of the cluster, side by side and before a deadline.
//!
//! Where an answer comes from is behind [`FactSource`]; see [`crate::cluster`] for the real one. What could not be found out
//! stays unknown, with the reason, and never becomes an answer. Nothing is remembered between two reviews.
//!
//! The API server may answer from what it has at hand, which spares it a question to its database, as long as that
//! answer is in the user's favour: see [`Freshness`].

use std::fmt;
use std::time::Duration;

use cnbi_shared::facts::{Facts, Lookup, LookupResult};
use futures::future::{BoxFuture, join_all};
use tokio::time::{Instant, timeout_at};

use crate::metrics::Metrics;
use crate::review::User;

/// Something that knows the cluster.
pub trait FactSource: Send + Sync + 'static {
    /// Finds out about one need. `user` is who makes the request, for [`Lookup::Access`].
    fn read<'a>(
        &'a self,
        need: &'a Lookup,
        user: &'a User,
        freshness: Freshness,
    ) -> BoxFuture<'a, Result<LookupResult, Unread>>;
}

/// How old an answer may be, in the words of Kubernetes' API concepts (*Resource versions*, on `get`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// As it was at any time, usually a few milliseconds ago. That something is *absent* is never taken from this.
    Any,
    /// As it is now.
    MostRecent,
}

/// Why something could not be found out, in words that anybody may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// No answer in time.
    Deadline(Duration),
    /// The webhook itself may not.
    Refused,
    /// The API server answered with this status.
    Status(u16),
    /// The API server could not be reached.
    Unreachable,
    /// The answer made no sense.
    Unintelligible,
    /// The name cannot be one, so it is not put into a URL.
    IllegalName,
}

impl fmt::Display for Unread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline(limit) => write!(formatter, "was not read within {limit:?}"),
            Self::Refused => formatter.write_str("may not be read by cnbi-webhook"),
            Self::Status(code) => write!(formatter, "was answered by the API server with status {code}"),
            Self::Unreachable => formatter.write_str("was not read: the API server cannot be reached"),
            Self::Unintelligible => formatter.write_str("was answered by the API server with something unreadable"),
            Self::IllegalName => formatter.write_str("has a name that cannot be one"),
        }
    }
}

impl Unread {
    /// The label of a metric.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Deadline(_) => "deadline",
            Self::Refused => "refused",
            Self::Status(_) => "status",
            Self::Unreachable => "unreachable",
            Self::Unintelligible => "unintelligible",
            Self::IllegalName => "illegal_name",
        }
    }
}

/// The label of a metric.
pub fn kind(need: &Lookup) -> &'static str {
    match need {
        Lookup::Secret { .. } => "secret",
        Lookup::Namespace { .. } => "namespace",
        Lookup::ImageStream { .. } => "image_stream",
        Lookup::Access { .. } => "access",
        Lookup::Configuration => "configuration",
        Lookup::Requester => "requester",
    }
}

/// What is known without asking anybody: there is a configuration, and somebody makes a request.
pub fn at_hand() -> Facts {
    Facts::none()
        .with(Lookup::Configuration, LookupResult::Yes)
        .with(Lookup::Requester, LookupResult::Yes)
}

/// Finds things out for one review.
pub struct Reader<'a> {
    /// Whom to ask.
    pub source: &'a dyn FactSource,
    /// Who makes the request.
    pub user: &'a User,
    /// When the first thing was asked.
    pub begin: Instant,
    /// How long after that all has to be known.
    pub limit: Duration,
    /// What Prometheus is told.
    pub metrics: &'a Metrics,
}

impl Reader<'_> {
    /// Finds out about all `needs` at once. Gives what is known, and why the rest is not.
    pub async fn gather(&self, needs: &[Lookup], freshness: Freshness) -> (Facts, Vec<(Lookup, Unread)>) {
        let mut facts = at_hand();
        let mut unread = Vec::new();
        let reads = needs.iter().map(async |need| (need, self.read(need, freshness).await));
        for (need, answer) in join_all(reads).await {
            match answer {
                Ok(answer) => facts.insert(need.clone(), answer),
                Err(why) => {
                    tracing::warn!(kind = kind(need), %why, "a fact could not be read");
                    unread.push((need.clone(), why));
                }
            }
        }
        (facts, unread)
    }

    async fn read(&self, need: &Lookup, freshness: Freshness) -> Result<LookupResult, Unread> {
        let begin = Instant::now();
        let answer = timeout_at(self.begin + self.limit, self.source.read(need, self.user, freshness)).await;
        let answer = answer.unwrap_or(Err(Unread::Deadline(self.limit)));
        let outcome = match &answer {
            Ok(LookupResult::No) => "absent",
            Ok(_) => "found",
            Err(unread) => unread.label(),
        };
        self.metrics.fact(kind(need), outcome, begin.elapsed());
        answer
    }
}
