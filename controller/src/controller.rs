//! When resources are looked at, and how many at once. What is done about one stands in [`crate::reconcile`].

use std::collections::HashMap;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cnbi_shared::active_config::ActiveConfig;
use futures::channel::mpsc;
use futures::{Stream, StreamExt};
use kube::runtime::controller::{Action, Config, Error};
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, Resource};
use tokio::sync::watch;
use tracing::Instrument;

use crate::metrics::{Metrics, ReconcileResult};
use crate::reconcile::context::World;
use crate::reconcile::error::{Failure, wait};
use crate::reconcile::garbage_collection::sweep;
use crate::reconcile::{Visited, visit};
use crate::watch::packed::Packed;
use crate::watch::reflector::PAGE;

/// How long one visit may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long a resource has to be left alone before it is looked at: events come in bursts.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// How long writes that have begun may go on when the program is asked to end.
const GRACE: Duration = Duration::from_secs(5);

/// What every visit needs.
struct Context {
    world: World,
    metrics: Arc<Metrics>,
    in_force: watch::Receiver<ActiveConfig>,
    /// It is known what there is.
    may_begin: watch::Sender<bool>,
    /// Failures in a row, by namespace and name; whoever succeeds is taken out.
    failures: Mutex<HashMap<(String, String), u32>>,
}

/// Looks after all resources until `shutdown` is done; then finishes what has begun, for a few seconds at most.
pub async fn run(
    client: Client,
    concurrency: NonZeroU16,
    metrics: Arc<Metrics>,
    in_force: watch::Receiver<ActiveConfig>,
    listed: Arc<AtomicBool>,
    shutdown: impl Future<Output = ()> + Clone + Send + Sync + 'static,
) {
    // Nothing can be said about a resource before the ConfigMap was read, well or badly.
    let mut configuration = in_force.clone();
    tokio::select! {
        _ = configuration.wait_for(ActiveConfig::was_read) => {}
        () = shutdown.clone() => return,
    }
    let context = Arc::new(Context {
        world: World::new(client.clone()),
        metrics: Arc::clone(&metrics),
        in_force: in_force.clone(),
        may_begin: watch::Sender::new(false),
        failures: Mutex::default(),
    });
    let (touched, to_look_at) = mpsc::unbounded();
    let controller = Controller::new(Api::<Packed>::all(client), watcher::Config::default().page_size(PAGE))
        .with_config(Config::default().concurrency(concurrency.get()).debounce(DEBOUNCE))
        .reconcile_all_on(changes(in_force.clone()))
        .reconcile_on(to_look_at)
        .graceful_shutdown_on(shutdown.clone());
    let store = controller.store();
    let (gone, has_gone) = mpsc::unbounded();
    let resources = store.clone();
    let ready = async {
        context.world.until_known().await;
        if store.wait_until_ready().await.is_ok() {
            tracing::info!(resources = store.len(), "all resources are listed");
            context.world.remember_who_waits(&store.state());
            let (here, resources) = (Arc::downgrade(&context), store.clone());
            metrics.count_resources_with(move || Some(here.upgrade()?.world.counts(&resources.state())));
            context.may_begin.send_replace(true);
            listed.store(true, Ordering::Relaxed);
        }
        tokio::join!(
            context.world.wake(&context.in_force, &touched),
            sweep(&context.world, &store, &context.in_force, has_gone),
        );
    };
    let visits = controller
        .run(
            look,
            |resource, failure, context| on_failure(&resource, failure, &context),
            Arc::clone(&context),
        )
        .for_each(|visited| {
            match visited {
                // Failures of visits are told where they happen, and a resource that is gone is no failure.
                Ok(_) | Err(Error::ReconcilerFailed(..)) => {}
                Err(Error::ObjectNotFound(object)) => {
                    let namespace = object.namespace.as_deref().unwrap_or_default();
                    context.succeeded(namespace, &object.name);
                    context.world.turns().leave_by_name(namespace, &object.name);
                    // Whatever we let go ourselves was forgotten then.
                    if context.world.memory.forget(namespace, &object.name) {
                        let _ = gone.unbounded_send((namespace.to_owned(), object.name.clone()));
                    }
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
        () = visits => {}
        () = Box::pin(ready) => {}
        () = Box::pin(context.world.follow(&metrics, &touched)) => {}
        () = context.world.upstreams.follow(&context.world.client, &resources, in_force, &metrics, &touched) => {}
        () = patience => tracing::warn!("ended with writes under way"),
    }
}

/// One item for each change of what is in force.
fn changes(in_force: watch::Receiver<ActiveConfig>) -> impl Stream<Item = ()> + Send + 'static {
    futures::stream::unfold(in_force, |mut in_force| async {
        in_force.changed().await.ok()?;
        Some(((), in_force))
    })
}

async fn look(resource: Arc<Packed>, context: Arc<Context>) -> Result<Action, Failure> {
    let world = &context.world;
    // The sender is beside it.
    let _ = context.may_begin.subscribe().wait_for(|may_begin| *may_begin).await;
    let in_force = context.in_force.borrow().clone();
    let begin = Instant::now();
    let (namespace, name) = resource.names();
    let span = tracing::info_span!(
        "visit",
        namespace,
        name,
        uid = resource.uid(),
        generation = resource.meta().generation
    );
    let visit = visit(world, &resource, &in_force, &context.metrics).instrument(span);
    let visited = tokio::time::timeout(DEADLINE, visit).await;
    context.metrics.observe_reconcile(begin.elapsed());
    let Visited { has_written, again } = visited.unwrap_or(Err(Failure::Deadline(DEADLINE)))?;
    context.succeeded(namespace, name);
    context.metrics.reconciled(if has_written {
        ReconcileResult::Updated
    } else {
        ReconcileResult::Unchanged
    });
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

fn on_failure(resource: &Packed, failure: &Failure, context: &Context) -> Action {
    let (namespace, name) = resource.names();
    let again = wait(context.count(namespace, name), seed(resource));
    context.metrics.reconciled(ReconcileResult::Failed);
    context.metrics.reconcile_failed(failure.class());
    tracing::warn!(namespace, name, error = %failure, again_in = ?again, "the visit failed");
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

    fn succeeded(&self, namespace: &str, name: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if !failures.is_empty() {
            failures.remove(&(namespace.to_owned(), name.to_owned()));
        }
    }
}

/// Differs between resources, so that those which failed together are not tried again together.
fn seed(resource: &Packed) -> u64 {
    let mut hasher = DefaultHasher::new();
    resource.uid().hash(&mut hasher);
    hasher.finish()
}
