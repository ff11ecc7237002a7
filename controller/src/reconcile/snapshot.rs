//! All that a decision about one resource needs, read before it is made. Decides nothing.
//!
//! A first look takes what the caches have. Before anything is made or taken away for good, [`Sight::look_closer`] asks the
//! API server about what a cache may not know yet.

mod dependents;
mod runs;

use std::collections::BTreeMap;

use cnbi_shared::admission_input::AdmissionInput;
use cnbi_shared::api::UnvalidatedImage;
use cnbi_shared::api::status::Phase;
use cnbi_shared::config::Config;
use cnbi_shared::contract::{self, ConditionType, WorkspaceKind};
use cnbi_shared::defaults::Defaults;
use cnbi_shared::facts::{Fact, Facts, Lookup, LookupResult};
use cnbi_shared::rules::{accept, evaluate};
use cnbi_shared::verdict::Report;

use crate::plan::action::{Action, Place, Plan};
use crate::plan::manifest::{RETRY, inputs};
use crate::plan::observed::{Installed, Observed, Queue, Stream};
use crate::plan::request::{Build, Request};
use crate::plan::target;
use crate::reconcile::context::World;
use crate::reconcile::error::Failure;
use crate::reconcile::secrets;
use crate::watch::stored::Stored;

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
    let whole = resource.whole();
    let mut draft = UnvalidatedImage::from(&whole);
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
            constraints: false,
        },
        missing_input: None,
        queue: Queue::default(),
        upstream: None,
        refusal: None,
    }
}

/// What the rules in force say, defaults filled in. What a rule would have to look up was looked up at admission.
fn judge(mut draft: UnvalidatedImage, config: &Config) -> Report {
    Defaults::of(&AdmissionInput::create(&draft), config, None).apply(&mut draft);
    let facts = Facts::none().with(Lookup::Configuration, LookupResult::Yes);
    evaluate(&AdmissionInput::create(&draft), &facts, config)
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
        sight.observed.upstream = world.upstreams.known(resource);
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

    /// The tag names another image than the one that is there.
    fn has_news(&self) -> bool {
        let image = self.observed.status.as_ref().and_then(|status| status.image.as_ref());
        let has = image.and_then(|image| image.digest.as_ref());
        self.observed
            .upstream
            .as_ref()
            .is_some_and(|upstream| Some(&upstream.digest) != has)
    }

    fn needs_secret(&self, config: &Config) -> bool {
        let Some(request) = &self.observed.request else {
            return false;
        };
        request.pull_secret.is_some()
            && (self.is_idle()
                || self.has_news()
                || !self.said(ConditionType::PullSecretReady)
                || (config.pull_secrets.copy_to_target && matches!(request.build, Build::Import { .. })))
    }

    async fn see_site(&mut self, world: &World, config: &Config) -> Result<(), Failure> {
        if let Some(request) = &self.observed.request {
            let namespace = config.pipelines.namespace_of_runs(&self.observed.namespace);
            let pipeline = contract::of(request.build_type()).name;
            let installed = world.sites.installed(world.has_tekton(), namespace, pipeline, config);
            self.observed.installed = installed.await?;
            self.observed.missing_input = None;
            for (kind, name) in inputs(request, config) {
                if !world.sites.has_input(namespace, kind, name).await? {
                    let kind = match kind {
                        WorkspaceKind::OptionalConfigMap => "ConfigMap",
                        WorkspaceKind::OptionalSecret | WorkspaceKind::Volume => "Secret",
                    };
                    self.observed.missing_input = Some(format!("{kind} {name}"));
                    break;
                }
            }
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
}
