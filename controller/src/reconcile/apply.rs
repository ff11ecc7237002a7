//! Does what a plan says, and nothing else: the actions in their order, the status last, and nothing more after the first
//! that fails.
//!
//! Whatever is taken away or changed is fenced by the uid of what was seen, so that nothing is done to a namesake that came
//! after it.

mod runs;

use cnbi_shared::api::Status;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Client, Resource};
use serde_json::json;

use crate::plan::action::{Action, Place, Plan};
use crate::plan::observed::RefusalKind;
use crate::reconcile::context::World;
use crate::reconcile::error::{Class, Failure};
use crate::reconcile::secrets;
use crate::reconcile::snapshot::{RUN, SECRET, Sight};
use crate::watch::packed::Packed;
use crate::watch::projections::{Run, Stream, Watched};
use crate::watch::stored::{FINALIZER, Stored};

/// The field manager that owns all that the controller writes.
pub const FIELD_MANAGER: &str = "cnbi-controller";

/// Most bytes of an Event's text that Kubernetes takes.
const NOTE: usize = 1024;

/// Why a plan was not carried out to its end.
#[derive(Debug)]
pub enum Stopped {
    /// The API server did not take the run.
    Refused {
        /// The run.
        run: String,
        /// What it means.
        kind: RefusalKind,
        /// In its words.
        message: String,
    },
    /// Something else.
    Failed(Failure),
}

impl<T: Into<Failure>> From<T> for Stopped {
    fn from(failure: T) -> Self {
        Self::Failed(failure.into())
    }
}

/// One plan for one resource.
pub struct Applying<'a> {
    /// Caches and memory.
    pub world: &'a World,
    /// The resource.
    pub resource: &'a Stored,
    /// What the plan was made from.
    pub sight: &'a Sight,
}

impl Applying<'_> {
    /// Carries out the plan. Whether anything was written.
    pub async fn apply(&self, plan: Plan) -> Result<bool, Stopped> {
        let mut has_written = false;
        let mut failed = None;
        for action in &plan.actions {
            let acted = self.act(action).await;
            match acted.map_err(|stopped| explained(stopped, action, &plan)) {
                Ok(()) => {}
                // Where no run waits for the copy, nothing else has to wait for it either.
                Err(Stopped::Failed(failure)) if matches!(action, Action::CopySecret { .. }) && !makes_run(&plan) => {
                    failed = Some(failure);
                    continue;
                }
                Err(stopped) => return Err(stopped),
            }
            has_written |= !matches!(action, Action::Event { .. });
        }
        if let Some(status) = &plan.status {
            write_status(self.world, self.resource, status).await?;
            has_written = true;
        }
        failed.map_or(Ok(has_written), |failure| Err(Stopped::Failed(failure)))
    }

    async fn act(&self, action: &Action) -> Result<(), Stopped> {
        tracing::debug!(%action, "acting");
        match action {
            Action::AddFinalizer => Ok(self.write_finalizers(true).await?),
            Action::RemoveFinalizer => {
                self.write_finalizers(false).await?;
                let (namespace, name) = self.resource.names();
                self.world.memory.forget(namespace, name);
                Ok(())
            }
            Action::CopySecret {
                from,
                to,
                image,
                labels,
            } => {
                let (namespace, name) = self.resource.names();
                let owner = Place::new(namespace, name);
                let copied = secrets::copy(&self.world.client, from, to, image, labels, &owner).await?;
                // A run that names a Secret which is not there would wait for it until its time is over.
                let copied = copied.ok_or_else(|| Failure::Vanished(format!("the entry of Secret {from}")))?;
                self.world.memory.copied(self.resource, to, Some(copied));
                Ok(())
            }
            Action::DeleteSecret(place) => {
                secrets::delete(&self.world.client, place, self.uid(SECRET, place)).await?;
                self.world.memory.copied(self.resource, place, None);
                Ok(())
            }
            Action::CreateRun { place, manifest } => self.create_run(place, manifest).await,
            Action::CancelRun(place) => Ok(self.cancel_run(place).await?),
            Action::DeleteRun(place) => {
                let deleted = runs(&self.world.client, &place.namespace)
                    .delete(&place.name, &fenced(self.uid(RUN, place)))
                    .await;
                Ok(gone_is_well(deleted.map(drop))?)
            }
            Action::DeleteVolume { place, keep } => Ok(self.delete_volume(place, *keep).await?),
            Action::PatchStreamAnnotations {
                place,
                uid,
                annotations,
            } => {
                let patch = json!({ "metadata": { "uid": uid, "annotations": annotations } });
                let patched = streams(&self.world.client, &place.namespace)
                    .patch(&place.name, &by_us(), &Patch::Merge(patch))
                    .await;
                Ok(gone_is_well(patched.map(drop))?)
            }
            Action::DeleteStream { place, uid } => {
                let deleted = streams(&self.world.client, &place.namespace)
                    .delete(&place.name, &fenced(Some(uid.clone())))
                    .await;
                Ok(gone_is_well(deleted.map(drop))?)
            }
            Action::Event {
                is_warning,
                reason,
                message,
            } => {
                self.tell(*is_warning, reason, message).await;
                Ok(())
            }
        }
    }

    /// A list can only be written whole. The version sees to it that nobody else's entry is lost.
    async fn write_finalizers(&self, with_ours: bool) -> Result<(), Failure> {
        let (namespace, name) = self.resource.names();
        let metadata = &self.resource.metadata;
        let mut finalizers = metadata.finalizers.clone().unwrap_or_default();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        if with_ours {
            finalizers.push(FINALIZER.to_owned());
        }
        let patch = json!({ "metadata": {
            "uid": metadata.uid, "resourceVersion": metadata.resource_version, "finalizers": finalizers,
        } });
        let api: Api<Packed> = Api::namespaced(self.world.client.clone(), namespace);
        let written = api.patch(name, &by_us(), &Patch::Merge(patch)).await?;
        if with_ours {
            self.world.memory.wrote(written);
        }
        Ok(())
    }

    /// An Event is for people, so nothing waits for it and nothing fails over it.
    async fn tell(&self, is_warning: bool, reason: &str, message: &str) {
        let mut end = message.len().min(NOTE);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let event = Event {
            type_: if is_warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: reason.to_owned(),
            note: Some(message[..end].to_owned()),
            action: "Build".to_owned(),
            secondary: None,
        };
        let about = self.resource.reference();
        if let Err(error) = self.world.events.publish(&event, &about).await {
            tracing::debug!(%error, resource = about.name, "the Event could not be written");
        }
    }

    fn uid(&self, kind: &'static str, place: &Place) -> Option<String> {
        let key = (kind, place.namespace.clone(), place.name.clone());
        self.sight.uids.get(&key).cloned()
    }
}

fn makes_run(plan: &Plan) -> bool {
    plan.actions
        .iter()
        .any(|action| matches!(action, Action::CreateRun { .. }))
}

/// A run waits for the copies of its Secret, so where one cannot be made the status has to say so as of a run.
fn explained(stopped: Stopped, action: &Action, plan: &Plan) -> Stopped {
    let run = plan.actions.iter().find_map(|action| match action {
        Action::CreateRun { place, .. } => Some(&place.name),
        _ => None,
    });
    match (stopped, action, run) {
        (Stopped::Failed(Failure::Api { source, .. }), Action::CopySecret { to, .. }, Some(run)) if matches!(&*source, kube::Error::Api(status) if matches!(status.code, 403 | 409 | 422)) => {
            Stopped::Refused {
                run: run.clone(),
                kind: RefusalKind::Other,
                message: format!("the pull Secret cannot be copied to {to}: {source}"),
            }
        }
        (stopped, ..) => stopped,
    }
}

/// Says it in the status.
pub async fn write_status(world: &World, resource: &Stored, status: &Status) -> Result<(), Failure> {
    let (namespace, name) = resource.names();
    let api: Api<Packed> = Api::namespaced(world.client.clone(), namespace);
    let body = json!({
        "apiVersion": Packed::api_version(&()),
        "kind": Packed::kind(&()),
        // With the uid, so that what was found out about a resource is never said about a namesake that came after it.
        "metadata": { "name": name, "uid": resource.metadata.uid },
        "status": status,
    });
    // Nobody else says what these fields say, so a conflict would be with a person who tried.
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let written = api.patch_status(name, &params, &Patch::Apply(&body)).await?;
    world.memory.wrote(written);
    Ok(())
}

/// PipelineRuns of a namespace.
pub fn runs(client: &Client, namespace: &str) -> Api<Watched<Run>> {
    Api::namespaced(client.clone(), namespace)
}

/// ImageStreams of a namespace.
pub fn streams(client: &Client, namespace: &str) -> Api<Watched<Stream>> {
    Api::namespaced(client.clone(), namespace)
}

fn by_us() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// Deletes with what belongs to it, and only what has that uid.
pub fn fenced(uid: Option<String>) -> DeleteParams {
    DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: Some(Preconditions {
            uid,
            resource_version: None,
        }),
        ..DeleteParams::default()
    }
}

/// What is gone, or is another object by now, needs nothing more.
pub fn gone_is_well(answer: kube::Result<()>) -> Result<(), Failure> {
    match answer.map_err(Failure::from) {
        Err(failure) if failure.class() == Class::Gone => Ok(()),
        answer => answer,
    }
}
