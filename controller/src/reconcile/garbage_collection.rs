//! Deletes what deleted resources have left behind, for the case that a user removed the finalizer by hand.
//!
//! The caches alone are not trusted: the API server confirms first that the resource is gone, and every delete has the uid as
//! a precondition. An ImageStream is deleted only if this process has observed the deletion of its resource: one that was
//! retained by configuration, or that is older than a restored cluster, may be in use.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cnbi_shared::config::{Config, DeletionPolicy};
use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use kube::Api;
use kube::runtime::reflector::Store;

use crate::plan::action::NamespacedName;
use crate::plan::manifest::{run_copy_name, target_copy_name};
use crate::reconcile::apply::{delete_params, ignore_gone, image_streams, runs};
use crate::reconcile::context::Context;
use crate::reconcile::error::Error;
use crate::reconcile::secrets;
use crate::watch::projections::{ImageStream, PipelineRun, Projection};
use crate::watch::stored::Stored;

/// How often all runs are checked.
const INTERVAL: Duration = Duration::from_secs(300);

/// Delay after the deletion of a resource: most of its objects are being deleted already.
const SETTLE: Duration = Duration::from_secs(5);

/// Collects garbage at every interval, and soon after each item of `deleted` (namespace and name). Never returns.
pub async fn collect_garbage(
    context: &Context,
    resources: &Store<Stored>,
    mut deleted: UnboundedReceiver<(String, String)>,
) {
    // Soon after the start: resources may have been deleted while no controller ran.
    let mut wait = SETTLE;
    loop {
        let next = tokio::time::timeout(wait, deleted.next()).await;
        wait = INTERVAL;
        let mut observed = BTreeSet::new();
        if let Ok(Some(first)) = next {
            observed.insert(first);
            tokio::time::sleep(SETTLE).await;
            while let Ok(further) = deleted.try_recv() {
                observed.insert(further);
            }
        }
        let config = context.active_config.borrow().config().cloned();
        let Some(config) = config else { continue };
        if let Err(error) = collect(context, resources, &config, &observed).await {
            tracing::warn!(%error, retry_in = ?INTERVAL, "garbage collection failed");
        }
    }
}

async fn collect(
    context: &Context,
    resources: &Store<Stored>,
    config: &Config,
    deleted: &BTreeSet<(String, String)>,
) -> Result<(), Error> {
    let existing = resources.state();
    let uids: BTreeSet<&str> = existing.iter().map(|resource| resource.uid()).collect();
    let orphans: Vec<_> = {
        let cache = context.runs.cache();
        let is_orphan = |run: &&Arc<Projection<PipelineRun>>| {
            !run.data.is_terminating
                && run.data.owner_uid.as_deref().is_some_and(|uid| !uids.contains(uid))
                && run
                    .owner
                    .as_ref()
                    .is_some_and(|owner| is_in_build_namespace(run, owner, config))
        };
        cache.all().filter(is_orphan).cloned().collect()
    };
    for run in orphans {
        delete_orphan(context, &run, config).await?;
    }
    if config.image_stream.deletion_policy == DeletionPolicy::Retain {
        return Ok(());
    }
    let orphans: Vec<_> = {
        let cache = context.image_streams.cache();
        let is_orphan = |stream: &&Arc<Projection<ImageStream>>| {
            let owner = stream.owner.clone().map(|owner| (owner.namespace, owner.name));
            !stream.data.is_terminating && owner.is_some_and(|owner| deleted.contains(&owner))
        };
        cache.all().filter(is_orphan).cloned().collect()
    };
    for stream in orphans {
        if let Some(owner) = &stream.owner
            && fetch_uid(context, owner).await?.is_none()
        {
            let key = &stream.key;
            tracing::info!(stream = %key, %owner, "deleting the ImageStream of a deleted resource");
            let deleted = image_streams(&context.client, &key.namespace)
                .delete(&key.name, &delete_params(stream.uid.clone()))
                .await;
            ignore_gone(deleted.map(drop))?;
        }
    }
    Ok(())
}

/// In other namespaces the controller has no permissions, and labels can be forged.
fn is_in_build_namespace(run: &Projection<PipelineRun>, owner: &NamespacedName, config: &Config) -> bool {
    run.key.namespace == config.pipelines.run_namespace_for(&owner.namespace)
}

async fn delete_orphan(context: &Context, run: &Projection<PipelineRun>, config: &Config) -> Result<(), Error> {
    let (Some(owner), Some(owner_uid)) = (&run.owner, run.data.owner_uid.as_deref()) else {
        return Ok(());
    };
    if fetch_uid(context, owner).await?.as_deref() == Some(owner_uid) {
        return Ok(());
    }
    let key = &run.key;
    tracing::info!(run = %key, %owner, "deleting the PipelineRun of a deleted resource");
    let mut copies = Vec::new();
    if run.data.secret.as_deref() == Some(&run_copy_name(&key.name)) {
        copies.push(NamespacedName::new(&key.namespace, &run_copy_name(&key.name)));
    }
    if config.pull_secrets.copy_to_target
        && let Some(target) = config.default_target(Some(&owner.namespace))
    {
        copies.push(NamespacedName::new(target, &target_copy_name(&owner.name, owner_uid)));
    }
    for copy in copies {
        if let Some(metadata) = secrets::read_copy(&context.client, &copy).await? {
            secrets::delete(&context.client, &copy, metadata.uid).await?;
        }
    }
    let deleted = runs(&context.client, &key.namespace)
        .delete(&key.name, &delete_params(run.uid.clone()))
        .await;
    ignore_gone(deleted.map(drop))
}

/// The uid of the resource that has that name now, from the API server.
async fn fetch_uid(context: &Context, key: &NamespacedName) -> Result<Option<String>, Error> {
    let api: Api<Stored> = Api::namespaced(context.client.clone(), &key.namespace);
    let found = api.get_metadata_opt(&key.name).await?;
    Ok(found.and_then(|resource| resource.metadata.uid))
}
