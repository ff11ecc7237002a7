//! Takes away what belongs to resources that are gone, although our finalizer was to prevent that: somebody took it off.
//!
//! Nothing goes on the word of a cache: the API server is asked for the resource first, and whatever is deleted is fenced by
//! its uid. An ImageStream goes only where this process has seen its resource go: one that stayed behind because the
//! configuration said so, or that is older than a restored cluster's resources, is somebody's by now.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cnbi_shared::active_config::ActiveConfig;
use cnbi_shared::config::{Config, DeletionPolicy};
use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use kube::Api;
use kube::runtime::reflector::Store;
use tokio::sync::watch;

use crate::plan::action::Place;
use crate::plan::manifest::{run_copy_name, target_copy_name};
use crate::reconcile::apply::{fenced, gone_is_well, runs, streams};
use crate::reconcile::context::World;
use crate::reconcile::error::Failure;
use crate::reconcile::secrets;
use crate::watch::packed::Packed;
use crate::watch::projections::{Kept, Run, Stream};

/// How often everything is looked through.
const EVERY: Duration = Duration::from_secs(300);

/// How long to wait after a resource has gone: mostly everything of it is on its way out already.
const SETTLE: Duration = Duration::from_secs(5);

/// Sweeps for as long as it is polled: all from time to time, and what belongs to a resource soon after it `has_gone`.
pub async fn sweep(
    world: &World,
    resources: &Store<Packed>,
    in_force: &watch::Receiver<ActiveConfig>,
    mut has_gone: UnboundedReceiver<(String, String)>,
) {
    // Soon at first: nobody knows what happened before we began.
    let mut wait = SETTLE;
    loop {
        let gone = tokio::time::timeout(wait, has_gone.next()).await;
        wait = EVERY;
        let mut witnessed = BTreeSet::new();
        if let Ok(Some(first)) = gone {
            witnessed.insert(first);
            tokio::time::sleep(SETTLE).await;
            while let Ok(further) = has_gone.try_recv() {
                witnessed.insert(further);
            }
        }
        let config = in_force.borrow().config().cloned();
        let Some(config) = config else { continue };
        if let Err(error) = all(world, resources, &config, &witnessed).await {
            tracing::warn!(%error, "what belongs to resources that are gone could not be taken away; trying again later");
        }
    }
}

async fn all(
    world: &World,
    resources: &Store<Packed>,
    config: &Config,
    witnessed: &BTreeSet<(String, String)>,
) -> Result<(), Failure> {
    let known = resources.state();
    let uids: BTreeSet<&str> = known.iter().map(|resource| resource.uid()).collect();
    let orphans: Vec<_> = {
        let cache = world.runs.cache();
        let is_orphan = |run: &&Arc<Kept<Run>>| {
            !run.kept.is_terminating
                && run.kept.of.as_deref().is_some_and(|of| !uids.contains(of))
                && run
                    .owner
                    .as_ref()
                    .is_some_and(|owner| is_where_runs_are_made(run, owner, config))
        };
        cache.all().filter(is_orphan).cloned().collect()
    };
    for run in orphans {
        delete_orphan(world, &run, config).await?;
    }
    if config.image_stream.deletion_policy == DeletionPolicy::Retain {
        return Ok(());
    }
    let left: Vec<_> = {
        let cache = world.streams.cache();
        let is_left = |stream: &&Arc<Kept<Stream>>| {
            let owner = stream.owner.clone().map(|owner| (owner.namespace, owner.name));
            !stream.kept.is_terminating && owner.is_some_and(|owner| witnessed.contains(&owner))
        };
        cache.all().filter(is_left).cloned().collect()
    };
    for stream in left {
        if let Some(owner) = &stream.owner
            && stored(world, owner).await?.is_none()
        {
            let place = &stream.place;
            tracing::info!(stream = %place, %owner, "deleting the ImageStream of a resource that is gone");
            let deleted = streams(&world.client, &place.namespace)
                .delete(&place.name, &fenced(stream.uid.clone()))
                .await;
            gone_is_well(deleted.map(drop))?;
        }
    }
    Ok(())
}

/// Elsewhere we have no rights, and whoever has them may write what labels they like.
fn is_where_runs_are_made(run: &Kept<Run>, owner: &Place, config: &Config) -> bool {
    run.place.namespace == config.pipelines.namespace_of_runs(&owner.namespace)
}

async fn delete_orphan(world: &World, run: &Kept<Run>, config: &Config) -> Result<(), Failure> {
    let (Some(owner), Some(of)) = (&run.owner, run.kept.of.as_deref()) else {
        return Ok(());
    };
    if stored(world, owner).await?.as_deref() == Some(of) {
        return Ok(());
    }
    let place = &run.place;
    tracing::info!(run = %place, %owner, "deleting the run of a resource that is gone");
    let mut copies = Vec::new();
    if run.kept.secret.as_deref() == Some(&run_copy_name(&place.name)) {
        copies.push(Place::new(&place.namespace, &run_copy_name(&place.name)));
    }
    if config.pull_secrets.copy_to_target
        && let Some(target) = config.default_target(Some(&owner.namespace))
    {
        copies.push(Place::new(target, &target_copy_name(&owner.name, of)));
    }
    for copy in copies {
        if let Some(copied) = secrets::read_copy(&world.client, &copy).await? {
            secrets::delete(&world.client, &copy, copied.uid).await?;
        }
    }
    let deleted = runs(&world.client, &place.namespace)
        .delete(&place.name, &fenced(run.uid.clone()))
        .await;
    gone_is_well(deleted.map(drop))
}

/// The uid of the resource that has that name now, asked of the API server.
async fn stored(world: &World, place: &Place) -> Result<Option<String>, Failure> {
    let api: Api<Packed> = Api::namespaced(world.client.clone(), &place.namespace);
    let found = api.get_opt(&place.name).await?;
    Ok(found.map(|resource| resource.uid().to_owned()))
}
