//! All that a decision about one resource needs, read before it is made. Decides nothing.
//!
//! A first look takes what the caches have. Before anything is made or taken away for good, [`Sight::look_closer`] asks the
//! API server about what a cache may not know yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use cnbi_shared::api::status::Phase;
use cnbi_shared::api::{CustomNBImage, Draft};
use cnbi_shared::config::Config;
use cnbi_shared::contract::{self, ConditionType};
use cnbi_shared::defaults::Defaults;
use cnbi_shared::facts::{Answer, Fact, Facts, Need};
use cnbi_shared::rules::{accept, evaluate};
use cnbi_shared::subject::Subject;
use cnbi_shared::verdict::Report;
use kube::Api;
use kube::api::ListParams;

use crate::build::action::{Action, Place, Plan};
use crate::build::manifest::{RETRY, UID, run_copy_name, run_name, target_copy_name};
use crate::build::observed::{Copy, Installed, Observed, Outcome, Queue, Stream};
use crate::build::plan::target;
use crate::build::request::{Build, Request};
use crate::failure::Failure;
use crate::follow::Known;
use crate::kinds::{self, Kept, Kind};
use crate::secrets;
use crate::stored::Stored;
use crate::world::World;

/// What is seen of a resource.
#[derive(Debug)]
pub struct Sight {
    /// What plans look at.
    pub observed: Observed,
    /// Namespace of the ImageStream.
    pub target: String,
    /// Uids of the runs, and of the copies of Secrets, by their places: nothing else of their names is to be touched.
    pub uids: BTreeMap<(&'static str, String, String), String>,
}

/// For [`Sight::uids`].
pub const RUN: &str = "run";
/// For [`Sight::uids`].
pub const SECRET: &str = "secret";

/// Reads what is stored of one resource: no look at the cluster.
pub fn of(resource: &Stored, config: &Config) -> Observed {
    let (namespace, name) = resource.names();
    let metadata = &resource.metadata;
    let whole = CustomNBImage {
        metadata: metadata.clone(),
        spec: resource.spec.value().cloned().unwrap_or_default(),
        status: None,
    };
    let mut draft = Draft::from(&whole);
    // That there is no spec, or none that reads as one, is for the rules to find.
    draft.spec = resource.spec.clone();
    let judged = judge(draft, config);
    let accepted = resource.spec.value().and_then(|_| accept(whole, config).ok());
    Observed {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: resource.uid().to_owned(),
        generation: metadata.generation.unwrap_or_default(),
        deleted: metadata.deletion_timestamp.as_ref().map(|deleted| deleted.0),
        has_finalizer: resource.has_finalizer(),
        retry: resource.annotation(RETRY).map(str::to_owned),
        request: accepted.and_then(|accepted| Request::of(&accepted)),
        judged,
        status: resource.status.clone(),
        runs: Vec::new(),
        stream: Stream::Unknown,
        secret: Fact::Unknown,
        secret_version: None,
        copies: Vec::new(),
        installed: Installed {
            api: true,
            namespace: true,
            pipeline: true,
            accounts: true,
        },
        queue: Queue::default(),
        upstream: None,
        refusal: None,
    }
}

/// What the rules in force say, defaults filled in. What a rule would have to look up was looked up at admission.
fn judge(mut draft: Draft, config: &Config) -> Report {
    Defaults::of(&Subject::create(&draft), config, None).apply(&mut draft);
    let facts = Facts::none().with(Need::Configuration, Answer::Yes);
    evaluate(&Subject::create(&draft), &facts, config)
}

impl Sight {
    /// The first look. `configuration` counts the configurations that have been in force.
    pub async fn take(world: &World, resource: &Stored, config: &Config, configuration: i64) -> Result<Self, Failure> {
        let observed = of(resource, config);
        let target = target(&observed, config);
        let mut sight = Self {
            observed,
            target,
            uids: BTreeMap::new(),
        };
        sight.see_runs(world, config).await?;
        sight.observed.installed.api = world.has_tekton();
        sight.see_stream(world).await?;
        if sight.observed.request.is_some() && sight.observed.deleted.is_none() {
            if sight.is_idle() {
                sight.see_site(world, config).await?;
            }
            if sight.needs_secret(config) {
                sight.see_secret(world).await?;
            }
        }
        sight.see_copies(world, resource, config).await?;
        sight.observed.refusal = world.memory.refusal(resource, configuration);
        Ok(sight)
    }

    /// Asks the API server before a plan's steps that nobody can take back. Whether anything may have changed.
    pub async fn look_closer(
        &mut self,
        world: &World,
        resource: &Stored,
        config: &Config,
        plan: &Plan,
    ) -> Result<bool, Failure> {
        let is_waiting_for_secret = self.is_blind(plan);
        if is_waiting_for_secret {
            self.see_secret(world).await?;
        }
        let created = plan.actions.iter().find_map(|action| match action {
            Action::CreateRun { place, .. } => Some(place.clone()),
            _ => None,
        });
        if let Some(place) = created {
            if let Some(run) = self.find_run(world, &place).await? {
                self.add_run(&run);
                return Ok(true);
            }
            self.see_site(world, config).await?;
            self.find_stream(world).await?;
            return Ok(true);
        }
        if plan.actions.contains(&Action::RemoveFinalizer) {
            if self.observed.installed.api {
                self.list_runs(world, config).await?;
            }
            self.find_stream(world).await?;
            self.see_copies(world, resource, config).await?;
            return Ok(true);
        }
        Ok(is_waiting_for_secret)
    }

    /// Whether the plan would go on if somebody looked at the Secret.
    fn is_blind(&self, plan: &Plan) -> bool {
        let observed = &self.observed;
        let names_secret = observed
            .request
            .as_ref()
            .is_some_and(|request| request.pull_secret.is_some());
        let status = plan.status.as_ref().or(observed.status.as_ref());
        names_secret
            && observed.deleted.is_none()
            && observed.secret == Fact::Unknown
            && !self.has_active_run()
            && status.is_none_or(|status| status.phase != Some(Phase::Ready))
    }

    fn has_active_run(&self) -> bool {
        self.observed.runs.iter().any(|run| !run.has_ended())
    }

    fn said(&self, condition: ConditionType) -> bool {
        let status = self.observed.status.as_ref();
        status.is_some_and(|status| {
            status.observed_generation == Some(self.observed.generation)
                && status
                    .conditions
                    .iter()
                    .any(|said| said.type_ == condition.as_str() && said.status == "True")
        })
    }

    /// Neither under way nor ready: perhaps something is to be made.
    fn is_idle(&self) -> bool {
        !self.has_active_run() && !self.said(ConditionType::Ready)
    }

    fn needs_secret(&self, config: &Config) -> bool {
        let Some(request) = &self.observed.request else {
            return false;
        };
        request.pull_secret.is_some()
            && (self.is_idle()
                || !self.said(ConditionType::PullSecretReady)
                || (config.pull_secrets.copy_to_target && matches!(request.build, Build::Import { .. })))
    }

    async fn see_runs(&mut self, world: &World, config: &Config) -> Result<(), Failure> {
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
    async fn see_tasks(&mut self, world: &World, kept: &[Arc<Kept<kinds::Run>>]) -> Result<(), Failure> {
        let tasks: Vec<_> = world.task_runs.cache().group(&self.observed.uid).cloned().collect();
        for run in &mut self.observed.runs {
            let of_run = tasks.iter().filter(|task| {
                task.kept.run.as_deref() == Some(&run.name)
                    && task.metadata.namespace.as_deref() == Some(&run.namespace)
            });
            run.tasks = of_run.clone().map(|task| task.kept.task.clone()).collect();
            if run.outcome != Outcome::False {
                continue;
            }
            let children = kept
                .iter()
                .filter(|kept| kept.kept.run.name == run.name && kept.kept.run.namespace == run.namespace)
                .flat_map(|kept| &kept.kept.children);
            for child in children {
                let seen = of_run.clone().find(|task| task.metadata.name.as_deref() == Some(child));
                if seen.is_some_and(|seen| seen.kept.task.outcome != Outcome::Unknown) {
                    continue;
                }
                let api: Api<Kept<kinds::TaskRun>> = Api::namespaced(world.client.clone(), &run.namespace);
                if let Some(found) = api.get_opt(child).await? {
                    run.tasks.retain(|task| task.task != found.kept.task.task);
                    run.tasks.push(found.kept.task);
                }
            }
        }
        Ok(())
    }

    /// Runs count where we make them. Elsewhere, whoever may write runs may write labels.
    fn is_trusted(&self, run: &Kept<kinds::Run>, config: &Config) -> bool {
        let namespace = run.metadata.namespace.as_deref().unwrap_or_default();
        let named = self
            .observed
            .status
            .as_ref()
            .and_then(|status| status.pipeline_run.as_ref());
        !run.kept.is_terminating
            && (namespace == config.pipelines.namespace_of_runs(&self.observed.namespace)
                || named.is_some_and(|named| named.namespace.as_deref() == Some(namespace)))
    }

    fn add_run(&mut self, run: &Kept<kinds::Run>) {
        let place = run.place();
        self.observed.runs.push(run.kept.run.clone());
        if let Some(uid) = &run.metadata.uid {
            self.uids.insert((RUN, place.namespace, place.name), uid.clone());
        }
    }

    /// A run of ours, asked of the API server.
    async fn find_run(&self, world: &World, place: &Place) -> Result<Option<Kept<kinds::Run>>, Failure> {
        let api: Api<Kept<kinds::Run>> = Api::namespaced(world.client.clone(), &place.namespace);
        let found = api.get_opt(&place.name).await?;
        Ok(found.filter(|run| {
            run.kept.of.as_deref() == Some(&self.observed.uid)
                && !run.kept.is_terminating
                && run.kept.group(place).is_some()
        }))
    }

    async fn list_runs(&mut self, world: &World, config: &Config) -> Result<(), Failure> {
        let api: Api<Kept<kinds::Run>> = Api::all(world.client.clone());
        let params = ListParams::default().labels(&format!("{UID}={}", self.observed.uid));
        for run in api.list(&params).await?.items {
            let is_new = !self
                .observed
                .runs
                .iter()
                .any(|known| known.name == run.kept.run.name && known.namespace == run.kept.run.namespace);
            if is_new && self.is_trusted(&run, config) {
                self.add_run(&run);
            }
        }
        Ok(())
    }

    async fn see_stream(&mut self, world: &World) -> Result<(), Failure> {
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
    async fn find_stream(&mut self, world: &World) -> Result<(), Failure> {
        if self.observed.stream == Stream::Absent {
            let api: Api<Kept<kinds::Stream>> = Api::namespaced(world.client.clone(), &self.target);
            if let Some(stream) = api.get_opt(&self.observed.name).await? {
                self.observed.stream = self.stream(&stream);
            }
        }
        Ok(())
    }

    fn stream(&self, stream: &Kept<kinds::Stream>) -> Stream {
        let observed = &self.observed;
        if stream.kept.is_terminating {
            return Stream::Absent;
        }
        if stream.owner != Some(Place::new(&observed.namespace, &observed.name)) {
            return Stream::Foreign;
        }
        Stream::Ours {
            uid: stream.metadata.uid.clone().unwrap_or_default(),
            display: stream.kept.display.clone(),
            tags: stream.kept.tags.clone(),
        }
    }

    async fn see_site(&mut self, world: &World, config: &Config) -> Result<(), Failure> {
        if let Some(request) = &self.observed.request {
            let namespace = config.pipelines.namespace_of_runs(&self.observed.namespace);
            let pipeline = contract::of(request.build_type()).name;
            let installed = world.sites.installed(world.has_tekton(), namespace, pipeline, config);
            self.observed.installed = installed.await?;
        }
        Ok(())
    }

    async fn see_secret(&mut self, world: &World) -> Result<(), Failure> {
        let request = self.observed.request.as_ref();
        if let Some(name) = request.and_then(|request| request.pull_secret.as_deref()) {
            let place = Place::new(&self.observed.namespace, name);
            (self.observed.secret, self.observed.secret_version) = secrets::read(&world.client, &place).await?;
        }
        Ok(())
    }

    /// Copies of the pull Secret have names that follow from the resource's and its runs'.
    async fn see_copies(&mut self, world: &World, resource: &Stored, config: &Config) -> Result<(), Failure> {
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
        let copied = |kept: &Kept<kinds::Run>| {
            let secret = kept.kept.secret.as_deref()?;
            let place = Place::new(&kept.kept.run.namespace, secret);
            (secret == run_copy_name(&kept.kept.run.name)).then_some(place)
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
