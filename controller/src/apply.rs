//! Does what a plan says, and nothing else: the actions in their order, the status last, and nothing more after the first
//! that fails.
//!
//! Whatever is taken away or changed is fenced by the uid of what was seen, so that nothing is done to a namesake that came
//! after it.

use cnbi_shared::api::Status;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{
    DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};

use crate::build::action::{Action, Place, Plan};
use crate::build::manifest::{POD_KEPT, RUN as RUN_LABEL, UID, VOLUME_DELETED};
use crate::build::observed::RefusalKind;
use crate::failure::{Class, Failure};
use crate::kinds::{Kept, Run, Stream};
use crate::observe::{RUN, SECRET, Sight};
use crate::secrets;
use crate::stored::{FINALIZER, Stored};
use crate::world::World;

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
        let api: Api<Stored> = Api::namespaced(self.world.client.clone(), namespace);
        let written = api.patch(name, &by_us(), &Patch::Merge(patch)).await?;
        if with_ours {
            self.world.memory.wrote(written);
        }
        Ok(())
    }

    async fn create_run(&self, place: &Place, manifest: &Value) -> Result<(), Stopped> {
        let refused = |kind, message: String| Stopped::Refused {
            run: place.name.clone(),
            kind,
            message,
        };
        let object: DynamicObject = match serde_json::from_value(manifest.clone()) {
            Ok(object) => object,
            Err(error) => return Err(refused(RefusalKind::Invalid, error.to_string())),
        };
        let kind = kube::api::ApiResource::erase::<Kept<Run>>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.world.client.clone(), &place.namespace, &kind);
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let Err(error) = api.create(&params, &object).await else {
            tracing::info!(run = %place, "run created");
            return Ok(());
        };
        let kube::Error::Api(status) = &error else {
            return Err(error.into());
        };
        match status.code {
            409 => {
                let found = runs(&self.world.client, &place.namespace).get_opt(&place.name).await?;
                match found {
                    Some(run) if run.kept.of.as_deref() == Some(self.resource.uid()) => Ok(()),
                    _ => Err(refused(
                        RefusalKind::Other,
                        format!("the name {} belongs to another run", place.name),
                    )),
                }
            }
            403 if status.message.contains("exceeded quota") => {
                Err(refused(RefusalKind::Quota, status.message.clone()))
            }
            // Tekton's own webhook answers 400 where a policy answers 422.
            400 | 422 => Err(refused(RefusalKind::Invalid, status.message.clone())),
            408 | 429 | 503 | 504 => Err(error.into()),
            _ => Err(refused(RefusalKind::Other, status.message.clone())),
        }
    }

    async fn cancel_run(&self, place: &Place) -> Result<(), Failure> {
        let patch = json!({ "metadata": { "uid": self.uid(RUN, place) }, "spec": { "status": "Cancelled" } });
        let patched = runs(&self.world.client, &place.namespace)
            .patch(&place.name, &by_us(), &Patch::Merge(patch))
            .await;
        match gone_is_well(patched.map(drop)) {
            // It has ended meanwhile, and Tekton takes no order to a run that has.
            Err(failure) if failure.class() == Class::Refused => Ok(()),
            answer => answer,
        }
    }

    /// Pods and volumes first, then the note that they are gone: whoever dies between does it again.
    async fn delete_volume(&self, place: &Place, keep: Option<&str>) -> Result<(), Failure> {
        let pods: Api<Pod> = Api::namespaced(self.world.client.clone(), &place.namespace);
        let mut ended = format!("{UID}={},tekton.dev/pipelineRun={}", self.resource.uid(), place.name);
        if let Some(task) = keep {
            ended.push_str(",tekton.dev/pipelineTask!=");
            ended.push_str(task);
        }
        let deleted = pods
            .delete_collection(&DeleteParams::default(), &ListParams::default().labels(&ended))
            .await;
        gone_is_well(deleted.map(drop))?;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.world.client.clone(), &place.namespace);
        let of_run = format!("{UID}={},{RUN_LABEL}={}", self.resource.uid(), place.name);
        let deleted = claims
            .delete_collection(&DeleteParams::default(), &ListParams::default().labels(&of_run))
            .await;
        gone_is_well(deleted.map(drop))?;
        let how = keep.map_or("true", |_| POD_KEPT);
        let patch = json!({ "metadata": {
            "uid": self.uid(RUN, place), "annotations": { VOLUME_DELETED: how },
        } });
        let patched = runs(&self.world.client, &place.namespace)
            .patch(&place.name, &by_us(), &Patch::Merge(patch))
            .await;
        gone_is_well(patched.map(drop))
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
        let about = self.resource.object_ref(&());
        if let Err(error) = self.world.recorder.publish(&event, &about).await {
            tracing::debug!(%error, resource = self.resource.name_any(), "the Event could not be written");
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
    let api: Api<Stored> = Api::namespaced(world.client.clone(), namespace);
    let body = json!({
        "apiVersion": Stored::api_version(&()),
        "kind": Stored::kind(&()),
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
pub fn runs(client: &Client, namespace: &str) -> Api<Kept<Run>> {
    Api::namespaced(client.clone(), namespace)
}

/// ImageStreams of a namespace.
pub fn streams(client: &Client, namespace: &str) -> Api<Kept<Stream>> {
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
