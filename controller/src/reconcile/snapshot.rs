//! The snapshot of one resource: everything that its plan depends on.
//!
//! [`Snapshot::observe`] reads the caches. Before writes that cannot be undone, [`Snapshot::confirm_with_api_server`] reads from the
//! API server what a cache may not have yet.

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
use cnbi_shared::rules::{evaluate, validate};
use cnbi_shared::verdict::Report;

use crate::plan::action::{Action, NamespacedName, Plan};
use crate::plan::manifest::{RETRY, inputs};
use crate::plan::observed::{ImageStreamState, ObservedState, Prerequisites, QueuePosition};
use crate::plan::request::{Build, Request};
use crate::plan::target;
use crate::reconcile::context::Context;
use crate::reconcile::error::Error;
use crate::reconcile::secrets;
use crate::watch::stored::Stored;

/// The snapshot of one resource.
#[derive(Debug)]
pub struct Snapshot {
    /// The input of the plan.
    pub observed: ObservedState,
    /// The target namespace.
    pub target: String,
    /// Uids of the runs and secret copies, by kind, namespace and name: preconditions of writes.
    pub uids: BTreeMap<(&'static str, String, String), String>,
}

/// For [`Snapshot::uids`].
pub const RUN: &str = "run";
/// For [`Snapshot::uids`].
pub const SECRET: &str = "secret";

/// The part of the input that comes from the resource itself.
fn observe_resource(resource: &Stored, config: &Config) -> ObservedState {
    let (namespace, name) = resource.names();
    let metadata = &resource.metadata;
    let whole = resource.without_status();
    let mut draft = UnvalidatedImage::from(&whole);
    // A missing or invalid spec is a finding of the rules.
    draft.spec = resource.spec.clone();
    let report = evaluate_rules(draft, config);
    let accepted = resource.spec.value().and_then(|_| validate(whole, config).ok());
    ObservedState {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: resource.uid().to_owned(),
        generation: metadata.generation.unwrap_or_default(),
        deleted: metadata.deletion_timestamp.as_ref().map(|deleted| deleted.0),
        has_finalizer: resource.has_finalizer(),
        retry: resource.annotation(RETRY).map(str::to_owned),
        request: accepted.and_then(|accepted| Request::of(&accepted)),
        report,
        status: resource.status.clone(),
        runs: Vec::new(),
        stream: ImageStreamState::Unknown,
        secret: Fact::Unknown,
        secret_version: None,
        copies: Vec::new(),
        prerequisites: Prerequisites {
            api: true,
            namespace: true,
            pipeline: true,
            accounts: true,
            constraints: false,
        },
        missing_input: None,
        queue: QueuePosition::default(),
        upstream: None,
        rejection: None,
    }
}

/// Findings of the active rules, after defaulting. Rules that need the cluster were evaluated at admission.
fn evaluate_rules(mut draft: UnvalidatedImage, config: &Config) -> Report {
    Defaults::of(&AdmissionInput::create(&draft), config, None).apply(&mut draft);
    let facts = Facts::none().with(Lookup::Configuration, LookupResult::Yes);
    evaluate(&AdmissionInput::create(&draft), &facts, config)
}

impl Snapshot {
    /// Reads the caches. `configuration` is the generation of the active configuration.
    pub async fn observe(
        context: &Context,
        resource: &Stored,
        config: &Config,
        configuration: i64,
    ) -> Result<Self, Error> {
        let observed = observe_resource(resource, config);
        let target = target(&observed, config);
        let mut snapshot = Self {
            observed,
            target,
            uids: BTreeMap::new(),
        };
        snapshot.observed.upstream = context.upstreams.digest(resource);
        snapshot.observe_runs(context, config).await?;
        snapshot.observed.prerequisites.api = context.has_tekton();
        snapshot.observe_image_stream(context).await?;
        if snapshot.observed.request.is_some() && snapshot.observed.deleted.is_none() {
            if snapshot.is_idle() {
                snapshot.observe_prerequisites(context, config).await?;
            }
            if snapshot.needs_secret(config) {
                snapshot.observe_secret(context).await?;
            }
        }
        snapshot.observe_copies(context, resource, config).await?;
        snapshot.observed.rejection = context.pending_writes.rejection(resource, configuration);
        Ok(snapshot)
    }

    /// Reads from the API server before a run is created or the finalizer is removed. Returns whether the snapshot may have
    /// changed.
    pub async fn confirm_with_api_server(
        &mut self,
        context: &Context,
        resource: &Stored,
        config: &Config,
        plan: &Plan,
    ) -> Result<bool, Error> {
        let is_waiting_for_secret = self.needs_secret_lookup(plan);
        if is_waiting_for_secret {
            self.observe_secret(context).await?;
        }
        let created = plan.actions.iter().find_map(|action| match action {
            Action::CreateRun { key, .. } => Some(key.clone()),
            _ => None,
        });
        if let Some(key) = created {
            if let Some(run) = self.fetch_run(context, &key).await? {
                self.add_run(&run);
                return Ok(true);
            }
            self.observe_prerequisites(context, config).await?;
            self.fetch_image_stream(context).await?;
            return Ok(true);
        }
        if plan.actions.contains(&Action::RemoveFinalizer) {
            if self.observed.prerequisites.api {
                self.list_runs(context, config).await?;
            }
            self.fetch_image_stream(context).await?;
            self.observe_copies(context, resource, config).await?;
            return Ok(true);
        }
        Ok(is_waiting_for_secret)
    }

    /// Whether the plan waits for the pull secret, which has not been read.
    fn needs_secret_lookup(&self, plan: &Plan) -> bool {
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

    fn is_true(&self, condition: ConditionType) -> bool {
        let status = self.observed.status.as_ref();
        status.is_some_and(|status| {
            status.observed_generation == Some(self.observed.generation)
                && status
                    .conditions
                    .iter()
                    .any(|existing| existing.type_ == condition.as_str() && existing.status == "True")
        })
    }

    /// Neither building nor Ready: a run may have to be created.
    fn is_idle(&self) -> bool {
        !self.has_active_run() && !self.is_true(ConditionType::Ready)
    }

    /// Whether the tag points at another digest than the published one.
    fn has_new_digest(&self) -> bool {
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
                || self.has_new_digest()
                || !self.is_true(ConditionType::PullSecretReady)
                || (config.pull_secrets.copy_to_target && matches!(request.build, Build::Import { .. })))
    }

    async fn observe_prerequisites(&mut self, context: &Context, config: &Config) -> Result<(), Error> {
        if let Some(request) = &self.observed.request {
            let namespace = config.pipelines.run_namespace_for(&self.observed.namespace);
            let pipeline = contract::pipeline_for(request.build_type()).name;
            let prerequisites = context
                .prerequisites
                .prerequisites(context.has_tekton(), namespace, pipeline, config);
            self.observed.prerequisites = prerequisites.await?;
            self.observed.missing_input = None;
            for (kind, name) in inputs(request, config) {
                if !context.prerequisites.has_input(namespace, kind, name).await? {
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

    async fn observe_secret(&mut self, context: &Context) -> Result<(), Error> {
        let request = self.observed.request.as_ref();
        if let Some(name) = request.and_then(|request| request.pull_secret.as_deref()) {
            let key = NamespacedName::new(&self.observed.namespace, name);
            (self.observed.secret, self.observed.secret_version) = secrets::read(&context.client, &key).await?;
        }
        Ok(())
    }
}
