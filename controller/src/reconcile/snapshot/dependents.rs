//! What a resource has besides its runs: the ImageStream, and copies of its pull Secret.

use cnbi_shared::config::Config;
use kube::Api;

use super::{SECRET, Sight};
use crate::plan::action::Place;
use crate::plan::manifest::{run_copy_name, run_name, target_copy_name};
use crate::plan::observed::{Copy, Stream};
use crate::reconcile::context::World;
use crate::reconcile::error::Failure;
use crate::reconcile::secrets;
use crate::watch::projections::{self, Kept, Watched};
use crate::watch::reflector::Known;
use crate::watch::stored::Stored;

impl Sight {
    pub(super) async fn see_stream(&mut self, world: &World) -> Result<(), Failure> {
        let place = Place::new(&self.target, &self.observed.name);
        self.observed.stream = match world.streams.known() {
            Known::Nothing => Stream::Unknown,
            Known::ApiAbsent => Stream::ApiMissing,
            Known::All => {
                let found = world.streams.cache().find(&place.to_string(), &place).cloned();
                match found {
                    Some(stream) => self.stream(&stream),
                    None if self.observed.deleted.is_none() && !world.sites.has_namespace(&self.target).await? => {
                        Stream::ApiMissing
                    }
                    None => Stream::Absent,
                }
            }
        };
        Ok(())
    }

    /// The stream, asked of the API server where the cache has none: it selects by a label that anybody can take off.
    pub(super) async fn find_stream(&mut self, world: &World) -> Result<(), Failure> {
        if self.observed.stream == Stream::Absent {
            let api: Api<Watched<projections::Stream>> = Api::namespaced(world.client.clone(), &self.target);
            if let Some(stream) = api.get_opt(&self.observed.name).await? {
                self.observed.stream = self.stream(&stream.into_kept());
            }
        }
        Ok(())
    }

    fn stream(&self, stream: &Kept<projections::Stream>) -> Stream {
        let observed = &self.observed;
        if stream.kept.is_terminating {
            return Stream::Absent;
        }
        if stream.owner != Some(Place::new(&observed.namespace, &observed.name)) {
            return Stream::Foreign;
        }
        Stream::Ours {
            uid: stream.uid.clone().unwrap_or_default(),
            display: stream.kept.display.clone(),
            tags: stream.kept.tags.clone(),
        }
    }

    /// Copies of the pull Secret have names that follow from the resource's and its runs'.
    pub(super) async fn see_copies(
        &mut self,
        world: &World,
        resource: &Stored,
        config: &Config,
    ) -> Result<(), Failure> {
        self.observed.copies.clear();
        let observed = &self.observed;
        let of_runs = observed
            .runs
            .iter()
            .map(|run| Place::new(&run.namespace, &run_copy_name(&run.name)));
        let has_secret = observed
            .request
            .as_ref()
            .is_some_and(|request| request.pull_secret.is_some());
        let mut places: Vec<Place> = if has_secret { of_runs.collect() } else { Vec::new() };
        if has_secret && observed.deleted.is_some() {
            // Made for a run that did not come about any more.
            let said = observed
                .status
                .as_ref()
                .and_then(|status| status.pipeline_run.as_ref()?.attempt);
            let next = u32::try_from(said.unwrap_or(0)).unwrap_or(0).saturating_add(1);
            let next = run_name(&observed.name, &observed.uid, observed.generation, "", next);
            let namespace = config.pipelines.namespace_of_runs(&observed.namespace);
            places.push(Place::new(namespace, &run_copy_name(&next)));
        }
        if has_secret && self.target != observed.namespace {
            places.push(Place::new(
                &self.target,
                &target_copy_name(&observed.name, &observed.uid),
            ));
        }
        // In the resource's own namespace the run has the Secret itself.
        let copied = |kept: &Kept<projections::Run>| {
            let secret = kept.kept.secret.as_deref()?;
            let place = Place::new(&kept.place.namespace, secret);
            (secret == run_copy_name(&kept.place.name)).then_some(place)
        };
        let runs: Vec<_> = world.runs.cache().group(&observed.uid).cloned().collect();
        for place in runs
            .iter()
            .filter(|run| self.is_trusted(run, config))
            .filter_map(|run| copied(run))
        {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places.retain(|place| place.namespace != observed.namespace);
        for place in places {
            let known = if let Some(known) = world.memory.copy(resource, &place) {
                known
            } else {
                let found = secrets::read_copy(&world.client, &place).await?;
                world.memory.copied(resource, &place, found.clone());
                found
            };
            if let Some(copied) = known {
                if let Some(uid) = copied.uid {
                    let key = (SECRET, place.namespace.clone(), place.name.clone());
                    self.uids.insert(key, uid);
                }
                self.observed.copies.push(Copy {
                    namespace: place.namespace,
                    name: place.name,
                    version: copied.version,
                });
            }
        }
        Ok(())
    }
}
