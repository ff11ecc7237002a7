//! A fake cluster whose lookups return what a test sets, hang, fail or panic.

use std::sync::{Arc, Mutex};

use cnbi_shared::facts::{Lookup, LookupResult};
use cnbi_webhook::admission_request::UserInfo;
use cnbi_webhook::facts::{FactSource, Freshness, LookupError};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;

type Script = Arc<dyn Fn(&Lookup, &UserInfo) -> Result<LookupResult, LookupError> + Send + Sync>;

/// Lookups with results from a function.
pub struct FakeCluster {
    script: Mutex<Script>,
    /// Results with `Freshness::Any`; those of `script` if this is not set.
    cached: Mutex<Option<Script>>,
    /// All lookups so far.
    pub lookups: Mutex<Vec<Lookup>>,
    /// Each lookup waits for one permit.
    pub release: Semaphore,
    /// One permit for each lookup that has started.
    pub started: Semaphore,
}

impl FakeCluster {
    pub fn new(
        script: impl Fn(&Lookup, &UserInfo) -> Result<LookupResult, LookupError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            script: Mutex::new(Arc::new(script)),
            cached: Mutex::default(),
            lookups: Mutex::default(),
            release: Semaphore::new(Semaphore::MAX_PERMITS),
            started: Semaphore::new(0),
        }
    }

    /// No object exists, and every user has every permission.
    pub fn empty() -> Self {
        Self::new(|lookup, _| {
            Ok(match lookup {
                Lookup::Access { .. } | Lookup::Namespace { .. } => LookupResult::Yes,
                _ => LookupResult::No,
            })
        })
    }

    /// Like `empty`, but lookups hang until `release` has permits.
    pub fn hanging() -> Self {
        Self {
            release: Semaphore::new(0),
            ..Self::empty()
        }
    }

    pub fn respond_with(
        &self,
        script: impl Fn(&Lookup, &UserInfo) -> Result<LookupResult, LookupError> + Send + Sync + 'static,
    ) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    pub fn respond_from_cache_with(
        &self,
        script: impl Fn(&Lookup, &UserInfo) -> Result<LookupResult, LookupError> + Send + Sync + 'static,
    ) {
        *self.cached.lock().unwrap() = Some(Arc::new(script));
    }
}

impl FactSource for FakeCluster {
    fn read<'a>(
        &'a self,
        lookup: &'a Lookup,
        user: &'a UserInfo,
        freshness: Freshness,
    ) -> BoxFuture<'a, Result<LookupResult, LookupError>> {
        async move {
            self.lookups.lock().unwrap().push(lookup.clone());
            self.started.add_permits(1);
            self.release.acquire().await.unwrap().forget();
            // Cloned, because the script may panic and would poison the lock.
            let now = Arc::clone(&self.script.lock().unwrap());
            let cached = self.cached.lock().unwrap().clone();
            let script = cached.filter(|_| freshness == Freshness::Any).unwrap_or(now);
            script(lookup, user)
        }
        .boxed()
    }
}
