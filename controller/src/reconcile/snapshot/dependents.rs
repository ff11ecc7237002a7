//! The ImageStream of a resource and the copies of its pull secret.

use cnbi_shared::config::Config;
use kube::Api;

use super::{SECRET, Snapshot};
use crate::plan::action::NamespacedName;
use crate::plan::manifest::{run_copy_name, run_name, target_copy_name};
use crate::plan::observed::{ImageStreamState, SecretCopy};
use crate::reconcile::context::Context;
use crate::reconcile::error::Error;
use crate::reconcile::secrets;
use crate::watch::projections::{self, Projection, WatchedObject};
use crate::watch::reflector::SyncState;
use crate::watch::stored::Stored;

impl Snapshot {
    pub(super) async fn observe_image_stream(&mut self, context: &Context) -> Result<(), Error> {
        let key = NamespacedName::new(&self.target, &self.observed.name);
        self.observed.stream = match context.image_streams.state() {
            SyncState::Pending => ImageStreamState::Unknown,
            SyncState::ApiAbsent => ImageStreamState::ApiMissing,
            SyncState::Synced => {
                let found = context.image_streams.cache().find(&key.to_string(), &key).cloned();
                match found {
                    Some(stream) => self.stream(&stream),
                    None if self.observed.deleted.is_none()
                        && !context.prerequisites.has_namespace(&self.target).await? =>
                    {
                        ImageStreamState::ApiMissing
                    }
                    None => ImageStreamState::Absent,
                }
            }
        };
        Ok(())
    }

    /// Reads the ImageStream from the API server if the cache has none: the watch selects by a label that users can remove.
    pub(super) async fn fetch_image_stream(&mut self, context: &Context) -> Result<(), Error> {
        if self.observed.stream == ImageStreamState::Absent {
            let api: Api<WatchedObject<projections::ImageStream>> =
                Api::namespaced(context.client.clone(), &self.target);
            if let Some(stream) = api.get_opt(&self.observed.name).await? {
                self.observed.stream = self.stream(&stream.into_projection());
            }
        }
        Ok(())
    }

    fn stream(&self, stream: &Projection<projections::ImageStream>) -> ImageStreamState {
        let observed = &self.observed;
        if stream.data.is_terminating {
            return ImageStreamState::Absent;
        }
        if stream.owner != Some(NamespacedName::new(&observed.namespace, &observed.name)) {
            return ImageStreamState::Foreign;
        }
        ImageStreamState::Owned {
            uid: stream.uid.clone().unwrap_or_default(),
            display: stream.data.display.clone(),
            tags: stream.data.tags.clone(),
        }
    }

    /// The copies of the pull secret. Their names are derived from the resource and its runs.
    pub(super) async fn observe_copies(
        &mut self,
        context: &Context,
        resource: &Stored,
        config: &Config,
    ) -> Result<(), Error> {
        self.observed.copies.clear();
        let observed = &self.observed;
        let of_runs = observed
            .runs
            .iter()
            .map(|run| NamespacedName::new(&run.namespace, &run_copy_name(&run.name)));
        let has_secret = observed
            .request
            .as_ref()
            .is_some_and(|request| request.pull_secret.is_some());
        let mut keys: Vec<NamespacedName> = if has_secret { of_runs.collect() } else { Vec::new() };
        if has_secret && observed.deleted.is_some() {
            // The copy for a next run that was never created.
            let attempt = observed
                .status
                .as_ref()
                .and_then(|status| status.pipeline_run.as_ref()?.attempt);
            let next = u32::try_from(attempt.unwrap_or(0)).unwrap_or(0).saturating_add(1);
            let next = run_name(&observed.name, &observed.uid, observed.generation, "", next);
            let namespace = config.pipelines.run_namespace_for(&observed.namespace);
            keys.push(NamespacedName::new(namespace, &run_copy_name(&next)));
        }
        if has_secret && self.target != observed.namespace {
            keys.push(NamespacedName::new(
                &self.target,
                &target_copy_name(&observed.name, &observed.uid),
            ));
        }
        // A run in the resource's own namespace mounts the original.
        let copied = |run: &Projection<projections::PipelineRun>| {
            let secret = run.data.secret.as_deref()?;
            let key = NamespacedName::new(&run.key.namespace, secret);
            (secret == run_copy_name(&run.key.name)).then_some(key)
        };
        let runs: Vec<_> = context.runs.cache().group(&observed.uid).cloned().collect();
        for key in runs
            .iter()
            .filter(|run| self.is_trusted(run, config))
            .filter_map(|run| copied(run))
        {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys.retain(|key| key.namespace != observed.namespace);
        for key in keys {
            let copy = if let Some(copy) = context.pending_writes.secret_copy(resource, &key) {
                copy
            } else {
                let found = secrets::read_copy(&context.client, &key).await?;
                context.pending_writes.record_secret_copy(resource, &key, found.clone());
                found
            };
            if let Some(copied) = copy {
                if let Some(uid) = copied.uid {
                    let key = (SECRET, key.namespace.clone(), key.name.clone());
                    self.uids.insert(key, uid);
                }
                self.observed.copies.push(SecretCopy {
                    namespace: key.namespace,
                    name: key.name,
                    version: copied.version,
                });
            }
        }
        Ok(())
    }
}
