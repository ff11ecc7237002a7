//! One visit of one resource: observe, plan, look closer where it matters, apply.

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

use std::sync::Arc;
use std::time::{Duration, Instant};

use cnbi_shared::active_config::ActiveConfig;
use cnbi_shared::config::Config;
use jiff::Timestamp;

use crate::metrics::Metrics;
use crate::plan::action::{Action, Plan};
use crate::plan::observed::Refusal;
use crate::plan::plan;
use crate::reconcile::apply::{Applying, Stopped, write_status};
use crate::reconcile::context::{World, active};
use crate::reconcile::error::{Class, Failure};
use crate::reconcile::progress::progress;
use crate::reconcile::snapshot::Sight;
use crate::unconfigured::unconfigured;
use crate::watch::packed::{Packed, is_queued};
use crate::watch::stored::Stored;

/// How often the copy of a pull Secret is compared with the Secret, of which nobody tells us.
const COPIES: Duration = Duration::from_secs(300);

/// What came of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visited {
    /// Whether anything was written.
    pub has_written: bool,
    /// When to come again though nothing has changed.
    pub again: Option<Duration>,
}

/// Visits a resource.
pub async fn visit(
    world: &World,
    seen: &Arc<Packed>,
    in_force: &ActiveConfig,
    metrics: &Metrics,
) -> Result<Visited, Failure> {
    let resource = world.memory.newest(seen).unpack();
    let Some(config) = in_force.config() else {
        return say_unconfigured(world, &resource).await;
    };
    // Once more where the API server refuses the run: then the status has to say so.
    let mut again = true;
    loop {
        let mut sight = Sight::take(world, &resource, config, in_force.generation()).await?;
        let plan = decide(world, &mut sight, &resource, config).await?;
        let requeue = plan.requeue;
        let created = created(&plan);
        let applying = Applying {
            world,
            resource: &resource,
            sight: &sight,
        };
        let applied = applying.apply(plan).await;
        count(world, &resource, &sight, metrics);
        sight.forget_tasks(world);
        if let (Err(_), Some((namespace, name))) = (&applied, &created) {
            world.turns().settle((namespace, name));
        }
        match applied {
            Ok(has_written) => {
                let copies = config.pull_secrets.copy_to_target && !sight.observed.copies.is_empty();
                let again = if copies {
                    Some(requeue.map_or(COPIES, |requeue| requeue.min(COPIES)))
                } else {
                    requeue
                };
                return Ok(Visited { has_written, again });
            }
            Err(Stopped::Refused { run, kind, message }) if again => {
                tracing::warn!(run, ?kind, message, "the API server did not take the run");
                let refusal = Refusal {
                    run,
                    kind,
                    at: Timestamp::now(),
                    times: 0,
                    retry: sight.observed.retry.clone(),
                    message,
                };
                world.memory.refused(&resource, refusal, in_force.generation());
                again = false;
            }
            Err(Stopped::Refused { .. }) => {
                return Ok(Visited {
                    has_written: false,
                    again: Some(Duration::from_secs(1)),
                });
            }
            // The watch tells what became of it, if it does not come again first.
            Err(Stopped::Failed(failure)) if failure.class() == Class::Gone => {
                tracing::debug!(%failure, "something has changed meanwhile");
                return Ok(Visited {
                    has_written: false,
                    again: Some(Duration::from_secs(5)),
                });
            }
            Err(Stopped::Failed(failure)) => return Err(failure),
        }
    }
}

/// Counts what the status tells since this visit, also where something else failed after it was written.
fn count(world: &World, resource: &Stored, sight: &Sight, metrics: &Metrics) {
    let written = world.memory.written(resource).map(|written| written.unpack());
    let Some(told) = written.as_ref().and_then(|written| written.status.as_ref()) else {
        return;
    };
    let Some(request) = &sight.observed.request else {
        return;
    };
    let progress = progress(resource.status.as_ref(), told, resource.created());
    for past in progress.ended {
        // The resource may ask for something else by now.
        let of_run = world.runs.cache().group(resource.uid()).find_map(|run| {
            let is_it = run.place.name == past.name;
            run.kept.build_type.filter(|_| is_it)
        });
        let outcome = past.outcome.as_deref().unwrap_or_default();
        metrics.run_completed(of_run.unwrap_or_else(|| request.build_type()), outcome);
    }
    if let Some(took) = progress.ready_after {
        metrics.ready_after(request.build_type(), took);
    }
}

/// Plans, looks closer, and plans again: what may be made is counted in the same moment as it is decided.
async fn decide(world: &World, sight: &mut Sight, resource: &Stored, config: &Config) -> Result<Plan, Failure> {
    let first = take_turn(world, sight, resource, config, false);
    if !sight.look_closer(world, resource, config, &first).await? {
        return Ok(take_turn(world, sight, resource, config, true));
    }
    let second = take_turn(world, sight, resource, config, true);
    // What a closer look at the Secret made possible needs the other questions too.
    if created(&second).is_some() && created(&first).is_none() {
        sight.look_closer(world, resource, config, &second).await?;
        return Ok(take_turn(world, sight, resource, config, true));
    }
    Ok(second)
}

/// Plans, with the queue as it is. `for_good`: what is planned is going to be done.
fn take_turn(world: &World, sight: &mut Sight, resource: &Stored, config: &Config, for_good: bool) -> Plan {
    let runs = world.active_runs();
    let (namespace, name) = resource.names();
    let uid = resource.uid();
    let since = resource.created();
    let limits = config.pipelines.max_concurrent;
    let now = Instant::now();
    let mut turns = world.turns();
    turns.expire(now);
    sight.observed.queue = turns.queue(uid, namespace, since, active(&runs), limits);
    let plan = plan(&sight.observed, Timestamp::now(), config);
    if !for_good {
        return plan;
    }
    if let Some((run_namespace, run)) = created(&plan) {
        turns.request((&run_namespace, &run), uid, namespace, now);
    } else if waits(&plan, sight) {
        turns.wait(uid, namespace, name, since, now);
    } else {
        turns.leave(uid);
    }
    plan
}

fn created(plan: &Plan) -> Option<(String, String)> {
    plan.actions.iter().find_map(|action| match action {
        Action::CreateRun { place, .. } => Some((place.namespace.clone(), place.name.clone())),
        _ => None,
    })
}

fn waits(plan: &Plan, sight: &Sight) -> bool {
    let observed = &sight.observed;
    observed.deleted.is_none() && is_queued(plan.status.as_ref().or(observed.status.as_ref()))
}

async fn say_unconfigured(world: &World, resource: &Stored) -> Result<Visited, Failure> {
    let status = unconfigured(resource, Timestamp::now());
    let has_written = status.is_some();
    if let Some(status) = status {
        write_status(world, resource, &status).await?;
    }
    Ok(Visited {
        has_written,
        again: None,
    })
}
