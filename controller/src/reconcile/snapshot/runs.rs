//! The runs of a resource, with their tasks.

use std::sync::Arc;

use cnbi_shared::config::Config;
use kube::Api;
use kube::api::ListParams;

use super::{RUN, Sight};
use crate::plan::action::Place;
use crate::plan::manifest::UID;
use crate::plan::observed::{self, Outcome};
use crate::reconcile::context::World;
use crate::reconcile::error::Failure;
use crate::watch::projections::{self, Kept, Kind, Watched};

impl Sight {
    pub(super) async fn see_runs(&mut self, world: &World, config: &Config) -> Result<(), Failure> {
        if !world.has_tekton() {
            return Ok(());
        }
        let mut runs: Vec<_> = world.runs.cache().group(&self.observed.uid).cloned().collect();
        runs.retain(|run| self.is_trusted(run, config));
        for run in &runs {
            self.add_run(run);
        }
        let named = self.observed.status.as_ref().and_then(|status| {
            let run = status.pipeline_run.as_ref()?;
            Some(Place::new(run.namespace.as_deref()?, run.name.as_deref()?))
        });
        if let Some(named) = named
            && !self.observed.runs.iter().any(|run| run.name == named.name)
            && let Some(run) = self.find_run(world, &named).await?
        {
            self.add_run(&run);
            runs.push(Arc::new(run));
        }
        self.see_tasks(world, &runs).await
    }

    /// The tasks of all runs. Those of a run that failed tell why, so they have to be complete.
    async fn see_tasks(&mut self, world: &World, kept: &[Arc<Kept<projections::Run>>]) -> Result<(), Failure> {
        let tasks: Vec<_> = world.task_runs.cache().group(&self.observed.uid).cloned().collect();
        for run in &mut self.observed.runs {
            let of_run = tasks
                .iter()
                .filter(|task| task.kept.run.as_deref() == Some(&run.name) && task.place.namespace == run.namespace);
            run.tasks = of_run.clone().map(|task| task.kept.task.clone()).collect();
            if run.outcome != Outcome::False {
                continue;
            }
            let children = kept
                .iter()
                .filter(|kept| kept.place.name == run.name && kept.place.namespace == run.namespace)
                .flat_map(|kept| &kept.kept.children);
            for child in children {
                let seen = of_run.clone().find(|task| *task.place.name == **child);
                if seen.is_some_and(|seen| seen.kept.task.outcome != Outcome::Unknown) {
                    continue;
                }
                let api: Api<Watched<projections::TaskRun>> = Api::namespaced(world.client.clone(), &run.namespace);
                if let Some(found) = api.get_opt(child).await?.map(Watched::into_kept) {
                    run.tasks.retain(|task| task.task != found.kept.task.task);
                    run.tasks.push(found.kept.task);
                }
            }
        }
        Ok(())
    }

    /// Forgets the tasks of runs that succeeded: of these nobody asks how they came to it, and there are several for each.
    pub fn forget_tasks(&self, world: &World) {
        let succeeded = |run: &&observed::Run| run.outcome == Outcome::True;
        let runs: Vec<_> = self.observed.runs.iter().filter(succeeded).collect();
        if runs.is_empty() {
            return;
        }
        world.task_runs.cache().retain(&self.observed.uid, |task| {
            let is_of = |run: &&observed::Run| {
                task.kept.run.as_deref() == Some(&run.name) && task.place.namespace == run.namespace
            };
            !runs.iter().any(is_of)
        });
    }

    /// Runs count where we make them. Elsewhere, whoever may write runs may write labels.
    pub(super) fn is_trusted(&self, run: &Kept<projections::Run>, config: &Config) -> bool {
        let namespace = run.place.namespace.as_str();
        let named = self
            .observed
            .status
            .as_ref()
            .and_then(|status| status.pipeline_run.as_ref());
        !run.kept.is_terminating
            && (namespace == config.pipelines.namespace_of_runs(&self.observed.namespace)
                || named.is_some_and(|named| named.namespace.as_deref() == Some(namespace)))
    }

    pub(super) fn add_run(&mut self, run: &Kept<projections::Run>) {
        self.observed.runs.push(run.observed());
        if let Some(uid) = &run.uid {
            let Place { namespace, name } = run.place.clone();
            self.uids.insert((RUN, namespace, name), uid.clone());
        }
    }

    /// A run of ours, asked of the API server.
    pub(super) async fn find_run(
        &self,
        world: &World,
        place: &Place,
    ) -> Result<Option<Kept<projections::Run>>, Failure> {
        let api: Api<Watched<projections::Run>> = Api::namespaced(world.client.clone(), &place.namespace);
        let found = api.get_opt(&place.name).await?.map(Watched::into_kept);
        Ok(found.filter(|run| {
            run.kept.of.as_deref() == Some(&self.observed.uid)
                && !run.kept.is_terminating
                && run.kept.group(place).is_some()
        }))
    }

    pub(super) async fn list_runs(&mut self, world: &World, config: &Config) -> Result<(), Failure> {
        let api: Api<Watched<projections::Run>> = Api::all(world.client.clone());
        let params = ListParams::default().labels(&format!("{UID}={}", self.observed.uid));
        for run in api.list(&params).await?.items.into_iter().map(Watched::into_kept) {
            let is_new = !self
                .observed
                .runs
                .iter()
                .any(|known| known.name == run.place.name && known.namespace == run.place.namespace);
            if is_new && self.is_trusted(&run, config) {
                self.add_run(&run);
            }
        }
        Ok(())
    }
}
