//! Applies a plan: the actions in their order, then the status. Stops at the first error.
//!
//! Every change and delete has the observed uid as a precondition, so that it never hits a later object of the same name.

mod runs;

use cnbi_shared::api::Status;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Client, Resource};
use serde_json::json;

use crate::plan::action::{Action, NamespacedName, Plan};
use crate::plan::observed::RejectionKind;
use crate::reconcile::context::Context;
use crate::reconcile::error::{Error, ErrorClass};
use crate::reconcile::secrets;
use crate::reconcile::snapshot::{RUN, SECRET, Snapshot};
use crate::watch::projections::{ImageStream, PipelineRun, WatchedObject};
use crate::watch::stored::{FINALIZER, Stored};

/// The field manager of all writes.
pub const FIELD_MANAGER: &str = "cnbi-controller";

/// Limit of the note of an Event in bytes, set by Kubernetes.
const NOTE_LIMIT: usize = 1024;

/// Why a plan was not applied completely.
#[derive(Debug)]
pub enum ApplyError {
    /// The API server rejected the run.
    RunRejected {
        /// Name of the run.
        run: String,
        /// Kind of rejection.
        kind: RejectionKind,
        /// Message of the API server.
        message: String,
    },
    /// Any other error.
    Failed(Error),
}

impl<T: Into<Error>> From<T> for ApplyError {
    fn from(error: T) -> Self {
        Self::Failed(error.into())
    }
}

/// Applies one plan to one resource.
pub struct Apply<'a> {
    /// Shared state.
    pub context: &'a Context,
    /// The resource.
    pub resource: &'a Stored,
    /// The snapshot that the plan was made from.
    pub snapshot: &'a Snapshot,
}

impl Apply<'_> {
    /// Applies the plan. Returns whether anything was written.
    pub async fn run(&self, plan: Plan) -> Result<bool, ApplyError> {
        let mut has_written = false;
        let mut failed = None;
        for action in &plan.actions {
            let acted = self.act(action).await;
            match acted.map_err(|error| as_rejection(error, action, &plan)) {
                Ok(()) => {}
                // If the plan creates no run, nothing depends on the copy.
                Err(ApplyError::Failed(error))
                    if matches!(action, Action::CopySecret { .. }) && plan.created_run().is_none() =>
                {
                    failed = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            }
            has_written |= !matches!(action, Action::Event { .. });
        }
        if let Some(status) = &plan.status {
            write_status(self.context, self.resource, status).await?;
            has_written = true;
        }
        failed.map_or(Ok(has_written), |error| Err(ApplyError::Failed(error)))
    }

    async fn act(&self, action: &Action) -> Result<(), ApplyError> {
        tracing::debug!(%action, "applying");
        match action {
            Action::AddFinalizer => Ok(self.write_finalizers(true).await?),
            Action::RemoveFinalizer => {
                self.write_finalizers(false).await?;
                let (namespace, name) = self.resource.names();
                self.context.pending_writes.forget(namespace, name);
                Ok(())
            }
            Action::CopySecret {
                from,
                to,
                image,
                labels,
            } => {
                let (namespace, name) = self.resource.names();
                let owner = NamespacedName::new(namespace, name);
                let copied = secrets::copy(&self.context.client, from, to, image, labels, &owner).await?;
                // A pod that mounts a missing Secret would wait until the timeout of the run.
                let copied = copied.ok_or_else(|| Error::Removed(format!("the entry of Secret {from}")))?;
                self.context
                    .pending_writes
                    .record_secret_copy(self.resource, to, Some(copied));
                Ok(())
            }
            Action::DeleteSecret(key) => {
                secrets::delete(&self.context.client, key, self.uid(SECRET, key)).await?;
                self.context.pending_writes.record_secret_copy(self.resource, key, None);
                Ok(())
            }
            Action::CreateRun { key, manifest } => self.create_run(key, manifest).await,
            Action::CancelRun(key) => Ok(self.cancel_run(key).await?),
            Action::DeleteRun(key) => {
                let deleted = runs(&self.context.client, &key.namespace)
                    .delete(&key.name, &delete_params(self.uid(RUN, key)))
                    .await;
                Ok(ignore_gone(deleted.map(drop))?)
            }
            Action::DeleteVolume { key, keep } => Ok(self.delete_volume(key, *keep).await?),
            Action::PatchStreamAnnotations { key, uid, annotations } => {
                let patch = json!({ "metadata": { "uid": uid, "annotations": annotations } });
                let patched = image_streams(&self.context.client, &key.namespace)
                    .patch(&key.name, &patch_params(), &Patch::Merge(patch))
                    .await;
                Ok(ignore_gone(patched.map(drop))?)
            }
            Action::DeleteStream { key, uid } => {
                let deleted = image_streams(&self.context.client, &key.namespace)
                    .delete(&key.name, &delete_params(Some(uid.clone())))
                    .await;
                Ok(ignore_gone(deleted.map(drop))?)
            }
            Action::Event {
                is_warning,
                reason,
                message,
            } => {
                self.publish_event(*is_warning, reason, message).await;
                Ok(())
            }
        }
    }

    /// A merge patch replaces the whole list, so the resource version is a precondition: no finalizer of others is lost.
    async fn write_finalizers(&self, with_ours: bool) -> Result<(), Error> {
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
        let api: Api<Stored> = Api::namespaced(self.context.client.clone(), namespace);
        let written = api.patch(name, &patch_params(), &Patch::Merge(patch)).await?;
        if with_ours {
            self.context.pending_writes.record(written);
        }
        Ok(())
    }

    /// Writes an Event. An error is only logged.
    async fn publish_event(&self, is_warning: bool, reason: &str, message: &str) {
        let mut end = message.len().min(NOTE_LIMIT);
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
        if let Err(error) = self.context.events.publish(&event, &about).await {
            tracing::debug!(%error, resource = about.name, "cannot write an Event");
        }
    }

    fn uid(&self, kind: &'static str, key: &NamespacedName) -> Option<String> {
        let key = (kind, key.namespace.clone(), key.name.clone());
        self.snapshot.uids.get(&key).cloned()
    }
}

/// Without the copy of its pull secret a run cannot start, so a copy that is rejected is reported as a rejected run.
fn as_rejection(error: ApplyError, action: &Action, plan: &Plan) -> ApplyError {
    let run = plan.actions.iter().find_map(|action| match action {
        Action::CreateRun { key, .. } => Some(&key.name),
        _ => None,
    });
    match (error, action, run) {
        (ApplyError::Failed(Error::Api { source, .. }), Action::CopySecret { to, .. }, Some(run)) if matches!(&*source, kube::Error::Api(status) if matches!(status.code, 403 | 409 | 422)) => {
            ApplyError::RunRejected {
                run: run.clone(),
                kind: RejectionKind::Other,
                message: format!("cannot copy the pull secret to {to}: {source}"),
            }
        }
        (error, ..) => error,
    }
}

/// Writes the status with server-side apply.
pub async fn write_status(context: &Context, resource: &Stored, status: &Status) -> Result<(), Error> {
    let (namespace, name) = resource.names();
    let api: Api<Stored> = Api::namespaced(context.client.clone(), namespace);
    let body = json!({
        "apiVersion": Stored::api_version(&()),
        "kind": Stored::kind(&()),
        // The uid is a precondition: a later resource of the same name is not changed.
        "metadata": { "name": name, "uid": resource.metadata.uid },
        "status": status,
    });
    // The controller owns these fields; a conflict means that another client has edited the status.
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let written = api.patch_status(name, &params, &Patch::Apply(&body)).await?;
    context.pending_writes.record(written);
    Ok(())
}

/// PipelineRuns of a namespace.
pub fn runs(client: &Client, namespace: &str) -> Api<WatchedObject<PipelineRun>> {
    Api::namespaced(client.clone(), namespace)
}

/// ImageStreams of a namespace.
pub fn image_streams(client: &Client, namespace: &str) -> Api<WatchedObject<ImageStream>> {
    Api::namespaced(client.clone(), namespace)
}

fn patch_params() -> PatchParams {
    PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// Deletes in the background with all dependents, with the uid as a precondition.
pub fn delete_params(uid: Option<String>) -> DeleteParams {
    DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: Some(Preconditions {
            uid,
            resource_version: None,
        }),
        ..DeleteParams::default()
    }
}

/// Treats a missing object, and a conflict with a later object of the same name, as success.
pub fn ignore_gone(answer: kube::Result<()>) -> Result<(), Error> {
    match answer.map_err(Error::from) {
        Err(error) if error.class() == ErrorClass::Gone => Ok(()),
        answer => answer,
    }
}
