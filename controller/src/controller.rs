//! Starts the watches and the `kube` controller: when a resource is reconciled, and how many at once. The steps of one
//! reconcile are in [`crate::reconcile`].

use std::future::Future;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cnbi_shared::active_config::ActiveConfig;
use futures::channel::mpsc;
use futures::{Stream, StreamExt};
use kube::runtime::controller::{Config, Error as ControllerError};
use kube::runtime::{Controller, watcher};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::metrics::Metrics;
use crate::reconcile::context::Context;
use crate::reconcile::garbage_collection::collect_garbage;
use crate::reconcile::{error_policy, reconcile};
use crate::watch::reflector::PAGE;
use crate::watch::stored::Stored;

/// How long a resource has to be unchanged before it is reconciled: events come in bursts.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// How long reconciles that have begun may go on after a shutdown signal.
const GRACE_PERIOD: Duration = Duration::from_secs(5);

/// Reconciles all resources until `shutdown` completes; then finishes reconciles that have begun, within [`GRACE_PERIOD`].
pub async fn run(
    client: Client,
    concurrency: NonZeroU16,
    metrics: Arc<Metrics>,
    active_config: watch::Receiver<ActiveConfig>,
    listed: Arc<AtomicBool>,
    shutdown: impl Future<Output = ()> + Clone + Send + Sync + 'static,
) {
    // Wait for the first read of the ConfigMap, valid or not: every decision depends on it.
    let mut configuration = active_config.clone();
    tokio::select! {
        _ = configuration.wait_for(ActiveConfig::was_read) => {}
        () = shutdown.clone() => return,
    }
    let context = Arc::new(Context::new(
        client.clone(),
        Arc::clone(&metrics),
        active_config.clone(),
    ));
    let (reconcile_requests, requested) = mpsc::unbounded();
    let controller = Controller::new(Api::<Stored>::all(client), watcher::Config::default().page_size(PAGE))
        .with_config(Config::default().concurrency(concurrency.get()).debounce(DEBOUNCE))
        .reconcile_all_on(changes(active_config.clone()))
        .reconcile_on(requested)
        .graceful_shutdown_on(shutdown.clone());
    let store = controller.store();
    let (deleted_resources, deleted) = mpsc::unbounded();
    let resources = store.clone();
    let background = async {
        context.wait_until_synced().await;
        if store.wait_until_ready().await.is_ok() {
            tracing::info!(resources = store.len(), "all resources are listed");
            context.restore_queue(&store.state());
            let (weak, resources) = (Arc::downgrade(&context), store.clone());
            metrics.count_resources_with(move || Some(weak.upgrade()?.counts(&resources.state())));
            context.synced.send_replace(true);
            listed.store(true, Ordering::Relaxed);
        }
        tokio::join!(
            context.wake_queued(&reconcile_requests),
            collect_garbage(&context, &store, deleted),
        );
    };
    let reconciles = controller
        .run(reconcile, error_policy, Arc::clone(&context))
        .for_each(|result| {
            match result {
                // A failed reconcile is logged by the error policy.
                Ok(_) | Err(ControllerError::ReconcilerFailed(..)) => {}
                Err(ControllerError::ObjectNotFound(object)) => {
                    let namespace = object.namespace.as_deref().unwrap_or_default();
                    context.clear_failures(namespace, &object.name);
                    context.queue().remove_by_name(namespace, &object.name);
                    // An entry is left only where the resource went without our removing the finalizer.
                    if context.pending_writes.forget(namespace, &object.name) {
                        let _ = deleted_resources.unbounded_send((namespace.to_owned(), object.name.clone()));
                    }
                }
                Err(error) => {
                    metrics.watch_failed();
                    tracing::warn!(%error, "watch of CustomNBImages failed; retrying");
                }
            }
            std::future::ready(())
        });
    let grace_period = async {
        shutdown.await;
        tokio::time::sleep(GRACE_PERIOD).await;
    };
    tokio::select! {
        () = reconciles => {}
        () = Box::pin(background) => {}
        () = Box::pin(context.watch(&reconcile_requests)) => {}
        () = context.upstreams.run(&context.client, &resources, active_config, &metrics, &reconcile_requests) => {}
        () = grace_period => tracing::warn!("shutting down; some reconciles were interrupted"),
    }
}

/// One item per change of the active configuration.
fn changes(active_config: watch::Receiver<ActiveConfig>) -> impl Stream<Item = ()> + Send + 'static {
    futures::stream::unfold(active_config, |mut active_config| async {
        active_config.changed().await.ok()?;
        Some(((), active_config))
    })
}
