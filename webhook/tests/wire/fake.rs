//! A fake cluster: it answers as a test says, hangs, fails or panics. No API server stands behind it.

use std::sync::{Arc, Mutex};

use cnbi_shared::facts::{Lookup, LookupResult};
use cnbi_webhook::facts::{FactSource, Freshness, Unread};
use cnbi_webhook::review::User;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;

type Script = Arc<dyn Fn(&Lookup, &User) -> Result<LookupResult, Unread> + Send + Sync>;

/// Answers from a script.
pub struct FakeCluster {
    script: Mutex<Script>,
    /// What is answered where an older answer will do; the same as now if this is not set.
    earlier: Mutex<Option<Script>>,
    /// Everything that was asked.
    pub asked: Mutex<Vec<Lookup>>,
    /// Each answer waits for one permit.
    pub leave: Semaphore,
    /// One permit for each question.
    pub questions: Semaphore,
}

impl FakeCluster {
    pub fn new(script: impl Fn(&Lookup, &User) -> Result<LookupResult, Unread> + Send + Sync + 'static) -> Self {
        Self {
            script: Mutex::new(Arc::new(script)),
            earlier: Mutex::default(),
            asked: Mutex::default(),
            leave: Semaphore::new(Semaphore::MAX_PERMITS),
            questions: Semaphore::new(0),
        }
    }

    /// Nothing is there, and everybody may do everything.
    pub fn empty() -> Self {
        Self::new(|need, _| {
            Ok(match need {
                Lookup::Access { .. } | Lookup::Namespace { .. } => LookupResult::Yes,
                _ => LookupResult::No,
            })
        })
    }

    /// Answers like the empty one, but not before it is given leave.
    pub fn hanging() -> Self {
        Self {
            leave: Semaphore::new(0),
            ..Self::empty()
        }
    }

    pub fn play(&self, script: impl Fn(&Lookup, &User) -> Result<LookupResult, Unread> + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    pub fn play_earlier(
        &self,
        script: impl Fn(&Lookup, &User) -> Result<LookupResult, Unread> + Send + Sync + 'static,
    ) {
        *self.earlier.lock().unwrap() = Some(Arc::new(script));
    }
}

impl FactSource for FakeCluster {
    fn read<'a>(
        &'a self,
        need: &'a Lookup,
        user: &'a User,
        freshness: Freshness,
    ) -> BoxFuture<'a, Result<LookupResult, Unread>> {
        async move {
            self.asked.lock().unwrap().push(need.clone());
            self.questions.add_permits(1);
            self.leave.acquire().await.unwrap().forget();
            // A script may panic, and must not take the lock with it.
            let now = Arc::clone(&self.script.lock().unwrap());
            let earlier = self.earlier.lock().unwrap().clone();
            let script = earlier.filter(|_| freshness == Freshness::Any).unwrap_or(now);
            script(need, user)
        }
        .boxed()
    }
}
