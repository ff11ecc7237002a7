//! One reconcile of one resource: read a snapshot, plan, confirm with the API server where a write cannot be undone, apply.

pub mod apply;
pub mod context;
pub mod error;
pub mod events;
pub mod garbage_collection;
pub mod pending_writes;
pub mod prerequisites;
pub mod progress;
pub mod secrets;
pub mod snapshot;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cnbi_shared::active_config::ActiveConfig;
use cnbi_shared::config::Config;
use jiff::Timestamp;
use kube::runtime::controller;
use tracing::Instrument;

use crate::metrics::ReconcileResult;
use crate::plan::action::Plan;
use crate::plan::observed::Rejection;
use crate::plan::plan;
use crate::reconcile::apply::{Apply, ApplyError, write_status};
use crate::reconcile::context::{Context, active};
use crate::reconcile::error::{Error, ErrorClass, backoff};
use crate::reconcile::progress::progress;
use crate::reconcile::snapshot::Snapshot;
use crate::unconfigured::unconfigured;
use crate::watch::stored::{Stored, is_queued};

/// Limit of the duration of one reconcile.
const DEADLINE: Duration = Duration::from_secs(30);

/// How often a copy of a pull secret is compared with the original, which is not watched.
const COPY_CHECK_INTERVAL: Duration = Duration::from_secs(300);

/// How soon to reconcile again after the API server has rejected two runs in one reconcile.
const REJECTED_REQUEUE: Duration = Duration::from_secs(1);

/// How soon to reconcile again after a conflict, if the watch does not deliver the change first.
const CONFLICT_REQUEUE: Duration = Duration::from_secs(5);

/// Result of a reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outcome {
    has_written: bool,
    /// When to reconcile again although nothing has changed.
    requeue: Option<Duration>,
}

/// Entry point for [`kube::runtime::Controller`].
pub async fn reconcile(resource: Arc<Stored>, context: Arc<Context>) -> Result<controller::Action, Error> {
    // The context holds the sender, so this cannot fail.
    let _ = context.synced.subscribe().wait_for(|synced| *synced).await;
    let active_config = context.active_config.borrow().clone();
    let start = Instant::now();
    let (namespace, name) = resource.names();
    let span = tracing::info_span!(
        "reconcile",
        namespace,
        name,
        uid = resource.uid(),
        generation = resource.metadata.generation
    );
    let run = reconcile_resource(&context, &resource, &active_config).instrument(span);
    let result = tokio::time::timeout(DEADLINE, run).await;
    context.metrics.observe_reconcile(start.elapsed());
    let outcome = result.unwrap_or(Err(Error::Deadline(DEADLINE)))?;
    context.clear_failures(namespace, name);
    context.metrics.reconciled(if outcome.has_written {
        ReconcileResult::Updated
    } else {
        ReconcileResult::Unchanged
    });
    Ok(outcome
        .requeue
        .map_or_else(controller::Action::await_change, controller::Action::requeue))
}

/// Error policy for [`kube::runtime::Controller`]: exponential backoff per resource.
#[allow(clippy::needless_pass_by_value, reason = "the signature is kube's")]
pub fn error_policy(resource: Arc<Stored>, error: &Error, context: Arc<Context>) -> controller::Action {
    let (namespace, name) = resource.names();
    let mut seed = DefaultHasher::new();
    resource.uid().hash(&mut seed);
    let requeue = backoff(context.count_failure(namespace, name), seed.finish());
    context.metrics.reconciled(ReconcileResult::Failed);
    context.metrics.reconcile_failed(error.class());
    tracing::warn!(namespace, name, %error, retry_in = ?requeue, "reconcile failed");
    controller::Action::requeue(requeue)
}

async fn reconcile_resource(
    context: &Context,
    watched: &Arc<Stored>,
    active_config: &ActiveConfig,
) -> Result<Outcome, Error> {
    let resource = context.pending_writes.newest(watched);
    let Some(config) = active_config.config() else {
        return report_unconfigured(context, &resource).await;
    };
    // A second pass after the API server has rejected the run, so that the status shows why.
    let mut may_repeat = true;
    loop {
        let mut snapshot = Snapshot::observe(context, &resource, config, active_config.generation()).await?;
        let plan = decide(context, &mut snapshot, &resource, config).await?;
        let requeue = plan.requeue;
        let created = created(&plan);
        let apply = Apply {
            context,
            resource: &resource,
            snapshot: &snapshot,
        };
        let result = apply.run(plan).await;
        count_progress(context, &resource, &snapshot);
        snapshot.forget_succeeded_tasks(context);
        if let (Err(_), Some((namespace, name))) = (&result, &created) {
            context.queue().release((namespace, name));
        }
        match result {
            Ok(has_written) => {
                let has_copies = config.pull_secrets.copy_to_target && !snapshot.observed.copies.is_empty();
                let requeue = if has_copies {
                    Some(requeue.map_or(COPY_CHECK_INTERVAL, |requeue| requeue.min(COPY_CHECK_INTERVAL)))
                } else {
                    requeue
                };
                return Ok(Outcome { has_written, requeue });
            }
            Err(ApplyError::RunRejected { run, kind, message }) if may_repeat => {
                tracing::warn!(run, ?kind, message, "the API server rejected the PipelineRun");
                let rejection = Rejection {
                    run,
                    kind,
                    at: Timestamp::now(),
                    times: 0,
                    retry: snapshot.observed.retry.clone(),
                    message,
                };
                context
                    .pending_writes
                    .record_rejection(&resource, rejection, active_config.generation());
                may_repeat = false;
            }
            Err(ApplyError::RunRejected { .. }) => {
                return Ok(Outcome {
                    has_written: false,
                    requeue: Some(REJECTED_REQUEUE),
                });
            }
            Err(ApplyError::Failed(error)) if error.class() == ErrorClass::Gone => {
                tracing::debug!(%error, "the object has changed since it was read");
                return Ok(Outcome {
                    has_written: false,
                    requeue: Some(CONFLICT_REQUEUE),
                });
            }
            Err(ApplyError::Failed(error)) => return Err(error),
        }
    }
}

/// Counts what the status reports for the first time, also where a later write failed.
fn count_progress(context: &Context, resource: &Stored, snapshot: &Snapshot) {
    let written = context.pending_writes.get(resource);
    let Some(status) = written.as_ref().and_then(|written| written.status.as_ref()) else {
        return;
    };
    let Some(request) = &snapshot.observed.request else {
        return;
    };
    let progress = progress(resource.status.as_ref(), status, resource.created());
    for past in progress.ended {
        // The build type is the run's: the spec may have changed since.
        let of_run = context.runs.cache().group(resource.uid()).find_map(|run| {
            let is_same = run.key.name == past.name;
            run.data.build_type.filter(|_| is_same)
        });
        let outcome = past.outcome.as_deref().unwrap_or_default();
        context
            .metrics
            .run_completed(of_run.unwrap_or_else(|| request.build_type()), outcome);
    }
    if let Some(duration) = progress.ready_after {
        context.metrics.ready_after(request.build_type(), duration);
    }
}

/// Plans from the caches, confirms with the API server, and plans again. The queue counts a new run in the same moment as the
/// plan is final.
async fn decide(context: &Context, snapshot: &mut Snapshot, resource: &Stored, config: &Config) -> Result<Plan, Error> {
    let draft = plan_and_admit(context, snapshot, resource, config, false);
    if !snapshot
        .confirm_with_api_server(context, resource, config, &draft)
        .await?
    {
        return Ok(plan_and_admit(context, snapshot, resource, config, true));
    }
    let confirmed = plan_and_admit(context, snapshot, resource, config, true);
    // If reading the pull secret made a run possible, the other prerequisites of the run have not been confirmed yet.
    if created(&confirmed).is_some() && created(&draft).is_none() {
        snapshot
            .confirm_with_api_server(context, resource, config, &confirmed)
            .await?;
        return Ok(plan_and_admit(context, snapshot, resource, config, true));
    }
    Ok(confirmed)
}

/// Plans with the current position in the build queue. A `final_plan` updates the queue: it is going to be applied.
fn plan_and_admit(
    context: &Context,
    snapshot: &mut Snapshot,
    resource: &Stored,
    config: &Config,
    final_plan: bool,
) -> Plan {
    let runs = context.active_runs();
    let (namespace, name) = resource.names();
    let uid = resource.uid();
    let since = resource.created();
    let limits = config.pipelines.max_concurrent;
    let now = Instant::now();
    let mut queue = context.queue();
    queue.expire(now);
    snapshot.observed.queue = queue.position(uid, namespace, since, active(&runs), limits);
    let plan = plan(&snapshot.observed, Timestamp::now(), config);
    if !final_plan {
        return plan;
    }
    if let Some((run_namespace, run)) = created(&plan) {
        queue.admit((&run_namespace, &run), uid, namespace, now);
    } else if is_waiting(&plan, snapshot) {
        queue.enqueue(uid, namespace, name, since, now);
    } else {
        queue.remove(uid);
    }
    plan
}

fn created(plan: &Plan) -> Option<(String, String)> {
    plan.created_run().map(|run| (run.namespace.clone(), run.name.clone()))
}

fn is_waiting(plan: &Plan, snapshot: &Snapshot) -> bool {
    let observed = &snapshot.observed;
    observed.deleted.is_none() && is_queued(plan.status.as_ref().or(observed.status.as_ref()))
}

async fn report_unconfigured(context: &Context, resource: &Stored) -> Result<Outcome, Error> {
    let status = unconfigured(resource, Timestamp::now());
    let has_written = status.is_some();
    if let Some(status) = status {
        write_status(context, resource, &status).await?;
    }
    Ok(Outcome {
        has_written,
        requeue: None,
    })
}
