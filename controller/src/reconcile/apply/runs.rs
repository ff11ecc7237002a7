//! What is done to runs: made, ended, and what they leave behind taken away.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PostParams};
use serde_json::{Value, json};

use super::{Applying, FIELD_MANAGER, Stopped, by_us, gone_is_well, runs};
use crate::plan::action::Place;
use crate::plan::manifest::{POD_KEPT, RUN as RUN_LABEL, UID, VOLUME_DELETED};
use crate::plan::observed::RefusalKind;
use crate::reconcile::error::{Class, Failure};
use crate::reconcile::snapshot::RUN;
use crate::watch::projections::{Run, Watched};

impl Applying<'_> {
    pub(super) async fn create_run(&self, place: &Place, manifest: &Value) -> Result<(), Stopped> {
        let refused = |kind, message: String| Stopped::Refused {
            run: place.name.clone(),
            kind,
            message,
        };
        let object: DynamicObject = match serde_json::from_value(manifest.clone()) {
            Ok(object) => object,
            Err(error) => return Err(refused(RefusalKind::Invalid, error.to_string())),
        };
        let kind = kube::api::ApiResource::erase::<Watched<Run>>(&());
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
                match found.map(Watched::into_kept) {
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

    pub(super) async fn cancel_run(&self, place: &Place) -> Result<(), Failure> {
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
    pub(super) async fn delete_volume(&self, place: &Place, keep: Option<&str>) -> Result<(), Failure> {
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
}
