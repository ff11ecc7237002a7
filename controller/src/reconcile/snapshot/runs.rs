//! The runs of a resource, with their tasks.

use std::sync::Arc;

use cnbi_shared::config::Config;
use kube::Api;
use kube::api::ListParams;

use super::{RUN, Snapshot};
use crate::plan::action::NamespacedName;
use crate::plan::manifest::UID;
use crate::plan::observed::{self, RunState};
use crate::reconcile::context::Context;
use crate::reconcile::error::Error;
use crate::watch::projections::{self, ProjectedKind, Projection, WatchedObject};

impl Snapshot {
    pub(super) async fn observe_runs(&mut self, context: &Context, config: &Config) -> Result<(), Error> {
        if !context.has_tekton() {
            return Ok(());
        }
        let mut runs: Vec<_> = context.runs.cache().group(&self.observed.uid).cloned().collect();
        runs.retain(|run| self.is_trusted(run, config));
        for run in &runs {
            self.add_run(run);
        }
        let named = self.observed.status.as_ref().and_then(|status| {
            let run = status.pipeline_run.as_ref()?;
            Some(NamespacedName::new(run.namespace.as_deref()?, run.name.as_deref()?))
        });
        if let Some(named) = named
            && !self.observed.runs.iter().any(|run| run.name == named.name)
            && let Some(run) = self.fetch_run(context, &named).await?
        {
            self.add_run(&run);
            runs.push(Arc::new(run));
        }
        self.observe_tasks(context, &runs).await
    }

    /// The tasks of all runs. The tasks of a failed run contain the cause, so missing ones are read from the API server.
    async fn observe_tasks(
        &mut self,
        context: &Context,
        runs: &[Arc<Projection<projections::PipelineRun>>],
    ) -> Result<(), Error> {
        let tasks: Vec<_> = context.task_runs.cache().group(&self.observed.uid).cloned().collect();
        for run in &mut self.observed.runs {
            let of_run = tasks
                .iter()
                .filter(|task| task.data.run.as_deref() == Some(&run.name) && task.key.namespace == run.namespace);
            run.tasks = of_run.clone().map(|task| task.data.task.clone()).collect();
            if run.state != RunState::Failed {
                continue;
            }
            let children = runs
                .iter()
                .filter(|projection| projection.key.name == run.name && projection.key.namespace == run.namespace)
                .flat_map(|projection| &projection.data.children);
            for child in children {
                let cached = of_run.clone().find(|task| *task.key.name == **child);
                if cached.is_some_and(|cached| cached.data.task.state != RunState::Running) {
                    continue;
                }
                let api: Api<WatchedObject<projections::TaskRun>> =
                    Api::namespaced(context.client.clone(), &run.namespace);
                if let Some(found) = api.get_opt(child).await?.map(WatchedObject::into_projection) {
                    run.tasks.retain(|task| task.task != found.data.task.task);
                    run.tasks.push(found.data.task);
                }
            }
        }
        Ok(())
    }

    /// Drops the TaskRuns of runs that succeeded from the cache: nothing reads them any more.
    pub fn forget_succeeded_tasks(&self, context: &Context) {
        let succeeded = |run: &&observed::Run| run.state == RunState::Succeeded;
        let runs: Vec<_> = self.observed.runs.iter().filter(succeeded).collect();
        if runs.is_empty() {
            return;
        }
        context.task_runs.cache().retain(&self.observed.uid, |task| {
            let is_of = |run: &&observed::Run| {
                task.data.run.as_deref() == Some(&run.name) && task.key.namespace == run.namespace
            };
            !runs.iter().any(is_of)
        });
    }

    /// Only runs in the build namespace are considered, or the run that the status names: labels elsewhere can be forged.
    pub(super) fn is_trusted(&self, run: &Projection<projections::PipelineRun>, config: &Config) -> bool {
        let namespace = run.key.namespace.as_str();
        let named = self
            .observed
            .status
            .as_ref()
            .and_then(|status| status.pipeline_run.as_ref());
        !run.data.is_terminating
            && (namespace == config.pipelines.run_namespace_for(&self.observed.namespace)
                || named.is_some_and(|named| named.namespace.as_deref() == Some(namespace)))
    }

    pub(super) fn add_run(&mut self, run: &Projection<projections::PipelineRun>) {
        self.observed.runs.push(run.data.run.clone());
        if let Some(uid) = &run.uid {
            let NamespacedName { namespace, name } = run.key.clone();
            self.uids.insert((RUN, namespace, name), uid.clone());
        }
    }

    /// Reads a run of this resource from the API server.
    pub(super) async fn fetch_run(
        &self,
        context: &Context,
        key: &NamespacedName,
    ) -> Result<Option<Projection<projections::PipelineRun>>, Error> {
        let api: Api<WatchedObject<projections::PipelineRun>> = Api::namespaced(context.client.clone(), &key.namespace);
        let found = api.get_opt(&key.name).await?.map(WatchedObject::into_projection);
        Ok(found.filter(|run| {
            run.data.owner_uid.as_deref() == Some(&self.observed.uid)
                && !run.data.is_terminating
                && run.data.index_key(key).is_some()
        }))
    }

    pub(super) async fn list_runs(&mut self, context: &Context, config: &Config) -> Result<(), Error> {
        let api: Api<WatchedObject<projections::PipelineRun>> = Api::all(context.client.clone());
        let params = ListParams::default().labels(&format!("{UID}={}", self.observed.uid));
        for run in api
            .list(&params)
            .await?
            .items
            .into_iter()
            .map(WatchedObject::into_projection)
        {
            let is_new = !self
                .observed
                .runs
                .iter()
                .any(|known| known.name == run.key.name && known.namespace == run.key.namespace);
            if is_new && self.is_trusted(&run, config) {
                self.add_run(&run);
            }
        }
        Ok(())
    }
}
