//! When resources are looked at, and how many at once. What is done about one stands in [`crate::plan`].

use std::collections::HashMap;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cnbi_shared::in_force::InForce;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use kube::runtime::controller::{Action, Config, Error};
use kube::runtime::{Controller, watcher};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::apply::apply;
use crate::failure::{Class, Failure, wait};
use crate::metrics::{Metrics, Outcome};
use crate::observe::Observed;
use crate::plan::plan;
use crate::stored::Stored;

/// How long one write may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long writes that have begun may go on when the program is asked to end.
const GRACE: Duration = Duration::from_secs(5);

/// What every visit needs.
#[derive(Debug)]
struct Context {
    metrics: Arc<Metrics>,
    in_force: watch::Receiver<InForce>,
    /// Failures in a row, by namespace and name; whoever succeeds is taken out.
    failures: Mutex<HashMap<(String, String), u32>>,
}

/// Looks after all resources until `shutdown` is done; then finishes what has begun, for a few seconds at most.
pub async fn run(
    client: Client,
    concurrency: NonZeroU16,
    metrics: Arc<Metrics>,
    in_force: watch::Receiver<InForce>,
    listed: Arc<AtomicBool>,
    shutdown: impl Future<Output = ()> + Clone + Send + Sync + 'static,
) {
    // Nothing can be said about a resource before the ConfigMap was read, well or badly.
    let mut configuration = in_force.clone();
    tokio::select! {
        _ = configuration.wait_for(InForce::was_read) => {}
        () = shutdown.clone() => return,
    }
    let context = Arc::new(Context {
        metrics: Arc::clone(&metrics),
        in_force: in_force.clone(),
        failures: Mutex::default(),
    });
    let controller = Controller::new(Api::<Stored>::all(client.clone()), watcher::Config::default())
        .with_config(Config::default().concurrency(concurrency.get()))
        .reconcile_all_on(changes(in_force))
        .graceful_shutdown_on(shutdown.clone());
    let store = controller.store();
    let ready = async move {
        if store.wait_until_ready().await.is_ok() {
            tracing::info!(resources = store.len(), "all resources are listed");
            listed.store(true, Ordering::Relaxed);
        }
    };
    let visits = controller
        .run(
            move |resource, context| visit(client.clone(), resource, context),
            |resource, failure, context| on_failure(&resource, failure, &context),
            Arc::clone(&context),
        )
        .for_each(|visited| {
            match visited {
                // Failures of visits are told where they happen, and a resource that is gone is no failure.
                Ok(_) | Err(Error::ReconcilerFailed(..)) => {}
                Err(Error::ObjectNotFound(object)) => {
                    context.forget(object.namespace.as_deref().unwrap_or_default(), &object.name);
                }
                Err(error) => {
                    metrics.watch_failed();
                    tracing::warn!(%error, "the resources cannot be watched; trying again");
                }
            }
            std::future::ready(())
        });
    let patience = async {
        shutdown.await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ((), ()) = async { tokio::join!(visits, ready) } => {}
        () = patience => tracing::warn!("ended with writes under way"),
    }
}

/// One item for each change of what is in force.
fn changes(in_force: watch::Receiver<InForce>) -> impl Stream<Item = ()> + Send + 'static {
    futures::stream::unfold(in_force, |mut in_force| async {
        in_force.changed().await.ok()?;
        Some(((), in_force))
    })
}

async fn visit(client: Client, resource: Arc<Stored>, context: Arc<Context>) -> Result<Action, Failure> {
    let config = context.in_force.borrow().config().cloned();
    let plan = plan(&Observed::from(&*resource), Timestamp::now(), config.as_deref());
    let applied = tokio::time::timeout(DEADLINE, apply(&client, &resource, plan)).await;
    let written = match applied.unwrap_or(Err(Failure::Deadline(DEADLINE))) {
        Ok(written) => written,
        // The watch will tell what became of it.
        Err(failure) if failure.class() == Class::Gone => false,
        Err(failure) => return Err(failure),
    };
    let (namespace, name) = names(&resource);
    context.forget(namespace, name);
    context
        .metrics
        .visited(if written { Outcome::Written } else { Outcome::Unchanged });
    if written {
        tracing::info!(namespace, name, "status written");
    }
    Ok(Action::await_change())
}

fn on_failure(resource: &Stored, failure: &Failure, context: &Context) -> Action {
    let (namespace, name) = names(resource);
    let again = wait(context.count(namespace, name), seed(resource));
    context.metrics.visited(Outcome::Failed);
    context.metrics.failed(failure.class());
    tracing::warn!(namespace, name, error = %failure, again_in = ?again, "the status could not be written");
    Action::requeue(again)
}

impl Context {
    /// One more failure in a row; how many there are now.
    fn count(&self, namespace: &str, name: &str) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry((namespace.to_owned(), name.to_owned())).or_default();
        *count = count.saturating_add(1);
        *count
    }

    fn forget(&self, namespace: &str, name: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if !failures.is_empty() {
            failures.remove(&(namespace.to_owned(), name.to_owned()));
        }
    }
}

fn names(resource: &Stored) -> (&str, &str) {
    let metadata = &resource.metadata;
    (
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    )
}

/// Differs between resources, so that those which failed together are not tried again together.
fn seed(resource: &Stored) -> u64 {
    let mut hasher = DefaultHasher::new();
    resource.metadata.uid.hash(&mut hasher);
    hasher.finish()
}
