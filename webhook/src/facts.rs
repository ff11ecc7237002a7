//! Reads the facts of the cluster that the rules need, concurrently and before a deadline.
//!
//! A [`FactSource`] does the reads; [`crate::api_server`] is the real one. A fact that could not be read stays unknown, with the
//! reason. Nothing is cached between reviews.
//!
//! The API server may answer from its cache, which saves a read of etcd, as long as the result is in the user's favour: see
//! [`Freshness`].

use std::fmt;
use std::time::Duration;

use cnbi_shared::facts::{Facts, Lookup, LookupResult};
use futures::future::{BoxFuture, join_all};
use tokio::time::{Instant, timeout_at};

use crate::admission_request::UserInfo;
use crate::metrics::Metrics;

/// Reads facts of the cluster.
pub trait FactSource: Send + Sync + 'static {
    /// Does one lookup. `user` makes the request that is reviewed, for [`Lookup::Access`].
    fn read<'a>(
        &'a self,
        lookup: &'a Lookup,
        user: &'a UserInfo,
        freshness: Freshness,
    ) -> BoxFuture<'a, Result<LookupResult, LookupError>>;
}

/// How old a result may be, see *Resource versions* in Kubernetes' API concepts (`get`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Any cached version, usually a few milliseconds old. Absence is never concluded from it.
    Any,
    /// The current version.
    MostRecent,
}

/// Why a lookup failed, as a message for any user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// It took longer than this.
    Deadline(Duration),
    /// cnbi-webhook has no permission.
    Forbidden,
    /// The API server responded with this status.
    Status(u16),
    /// The API server could not be reached.
    Unreachable,
    /// The response could not be parsed.
    InvalidResponse,
    /// The name is invalid, so it is not put into a URL.
    InvalidName,
}

impl fmt::Display for LookupError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline(limit) => write!(formatter, "was not read within {limit:?}"),
            Self::Forbidden => formatter.write_str("cannot be read: cnbi-webhook has no permission"),
            Self::Status(code) => write!(formatter, "cannot be read: the API server responded with status {code}"),
            Self::Unreachable => formatter.write_str("cannot be read: the API server cannot be reached"),
            Self::InvalidResponse => formatter.write_str("cannot be read: the response of the API server is invalid"),
            Self::InvalidName => formatter.write_str("has an invalid name"),
        }
    }
}

impl LookupError {
    /// The label of a metric.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Deadline(_) => "deadline",
            Self::Forbidden => "refused",
            Self::Status(_) => "status",
            Self::Unreachable => "unreachable",
            Self::InvalidResponse => "unintelligible",
            Self::InvalidName => "illegal_name",
        }
    }
}

/// The label of a metric.
pub fn kind(lookup: &Lookup) -> &'static str {
    match lookup {
        Lookup::Secret { .. } => "secret",
        Lookup::Namespace { .. } => "namespace",
        Lookup::ImageStream { .. } => "image_stream",
        Lookup::Access { .. } => "access",
        Lookup::Configuration => "configuration",
        Lookup::Requester => "requester",
    }
}

/// Facts that need no lookup: there is a configuration, and a user who makes the request.
pub fn known_facts() -> Facts {
    Facts::none()
        .with(Lookup::Configuration, LookupResult::Yes)
        .with(Lookup::Requester, LookupResult::Yes)
}

/// Reads the facts of one review.
pub struct FactReader<'a> {
    /// Does the lookups.
    pub source: &'a dyn FactSource,
    /// The user who makes the request.
    pub user: &'a UserInfo,
    /// When the first lookup began.
    pub begin: Instant,
    /// How long all lookups may take from then.
    pub limit: Duration,
    /// Counts lookups.
    pub metrics: &'a Metrics,
}

impl FactReader<'_> {
    /// Does all lookups concurrently. Returns the facts, and the lookups that failed.
    pub async fn read_all(&self, lookups: &[Lookup], freshness: Freshness) -> (Facts, Vec<(Lookup, LookupError)>) {
        let mut facts = known_facts();
        let mut failed = Vec::new();
        let reads = lookups
            .iter()
            .map(async |lookup| (lookup, self.read(lookup, freshness).await));
        for (lookup, result) in join_all(reads).await {
            match result {
                Ok(result) => facts.insert(lookup.clone(), result),
                Err(error) => {
                    tracing::warn!(kind = kind(lookup), %error, "a fact could not be read");
                    failed.push((lookup.clone(), error));
                }
            }
        }
        (facts, failed)
    }

    async fn read(&self, lookup: &Lookup, freshness: Freshness) -> Result<LookupResult, LookupError> {
        let begin = Instant::now();
        let result = timeout_at(self.begin + self.limit, self.source.read(lookup, self.user, freshness)).await;
        let result = result.unwrap_or(Err(LookupError::Deadline(self.limit)));
        let outcome = match &result {
            Ok(LookupResult::No) => "absent",
            Ok(_) => "found",
            Err(error) => error.label(),
        };
        self.metrics.fact(kind(lookup), outcome, begin.elapsed());
        result
    }
}
