//! Actions on PipelineRuns: create, cancel, delete their volumes and pods.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PostParams};
use serde_json::{Value, json};

use super::{Apply, ApplyError, FIELD_MANAGER, ignore_gone, patch_params, runs};
use crate::plan::action::NamespacedName;
use crate::plan::manifest::{POD_KEPT, RUN as RUN_LABEL, UID, VOLUME_DELETED};
use crate::plan::observed::RejectionKind;
use crate::reconcile::error::{Error, ErrorClass};
use crate::reconcile::snapshot::RUN;
use crate::watch::projections::{PipelineRun, WatchedObject};

impl Apply<'_> {
    pub(super) async fn create_run(&self, key: &NamespacedName, manifest: &Value) -> Result<(), ApplyError> {
        let rejected = |kind, message: String| ApplyError::RunRejected {
            run: key.name.clone(),
            kind,
            message,
        };
        let object: DynamicObject = match serde_json::from_value(manifest.clone()) {
            Ok(object) => object,
            Err(error) => return Err(rejected(RejectionKind::Invalid, error.to_string())),
        };
        let kind = kube::api::ApiResource::erase::<WatchedObject<PipelineRun>>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.context.client.clone(), &key.namespace, &kind);
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let Err(error) = api.create(&params, &object).await else {
            tracing::info!(run = %key, "created PipelineRun");
            return Ok(());
        };
        let kube::Error::Api(status) = &error else {
            return Err(error.into());
        };
        match status.code {
            409 => {
                let found = runs(&self.context.client, &key.namespace).get_opt(&key.name).await?;
                match found.map(WatchedObject::into_projection) {
                    Some(run) if run.data.owner_uid.as_deref() == Some(self.resource.uid()) => Ok(()),
                    _ => Err(rejected(
                        RejectionKind::Other,
                        format!(
                            "PipelineRun {} exists already and belongs to another resource",
                            key.name
                        ),
                    )),
                }
            }
            403 if status.message.contains("exceeded quota") => {
                Err(rejected(RejectionKind::Quota, status.message.clone()))
            }
            // Tekton's webhook responds with 400, other policies with 422.
            400 | 422 => Err(rejected(RejectionKind::Invalid, status.message.clone())),
            408 | 429 | 503 | 504 => Err(error.into()),
            _ => Err(rejected(RejectionKind::Other, status.message.clone())),
        }
    }

    pub(super) async fn cancel_run(&self, key: &NamespacedName) -> Result<(), Error> {
        let patch = json!({ "metadata": { "uid": self.uid(RUN, key) }, "spec": { "status": "Cancelled" } });
        let patched = runs(&self.context.client, &key.namespace)
            .patch(&key.name, &patch_params(), &Patch::Merge(patch))
            .await;
        match ignore_gone(patched.map(drop)) {
            // It has ended meanwhile, and Tekton rejects changes of ended runs.
            Err(error) if error.class() == ErrorClass::Rejected => Ok(()),
            answer => answer,
        }
    }

    /// Deletes pods and volumes, then sets the annotation. An interrupted call is repeated.
    pub(super) async fn delete_volume(&self, key: &NamespacedName, keep: Option<&str>) -> Result<(), Error> {
        let pods: Api<Pod> = Api::namespaced(self.context.client.clone(), &key.namespace);
        let mut ended = format!("{UID}={},tekton.dev/pipelineRun={}", self.resource.uid(), key.name);
        if let Some(task) = keep {
            ended.push_str(",tekton.dev/pipelineTask!=");
            ended.push_str(task);
        }
        let deleted = pods
            .delete_collection(&DeleteParams::default(), &ListParams::default().labels(&ended))
            .await;
        ignore_gone(deleted.map(drop))?;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.context.client.clone(), &key.namespace);
        let of_run = format!("{UID}={},{RUN_LABEL}={}", self.resource.uid(), key.name);
        let deleted = claims
            .delete_collection(&DeleteParams::default(), &ListParams::default().labels(&of_run))
            .await;
        ignore_gone(deleted.map(drop))?;
        let value = keep.map_or("true", |_| POD_KEPT);
        let patch = json!({ "metadata": {
            "uid": self.uid(RUN, key), "annotations": { VOLUME_DELETED: value },
        } });
        let patched = runs(&self.context.client, &key.namespace)
            .patch(&key.name, &patch_params(), &Patch::Merge(patch))
            .await;
        ignore_gone(patched.map(drop))
    }
}
