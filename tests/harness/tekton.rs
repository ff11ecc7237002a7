//! Tekton and OpenShift, as far as a controller sees them, on a cluster that has neither.
//!
//! The kinds are Tekton's own where their definitions are given, and small stand-ins otherwise. Nothing here runs a task
//! or imports an image: what Tekton would write to a run, and OpenShift to an ImageStream, is **played** from a script.
//! So whatever a test or the demo shows with this room is about our programs, and nothing is proven about Tekton. This
//! room knows nothing of our programs, nor of the Pipelines this project ships.

mod definitions;
pub mod import;
pub mod player;
pub mod script;
mod task_run;
mod told;

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};

pub use definitions::{Definitions, install, install_from, install_image_streams};

/// PipelineRuns of a namespace.
pub fn pipeline_runs(client: &Client, namespace: &str) -> Api<DynamicObject> {
    api(client, namespace, ("tekton.dev", "PipelineRun", "pipelineruns"))
}

/// TaskRuns of a namespace.
pub fn task_runs(client: &Client, namespace: &str) -> Api<DynamicObject> {
    api(client, namespace, ("tekton.dev", "TaskRun", "taskruns"))
}

/// ImageStreams of a namespace.
pub fn image_streams(client: &Client, namespace: &str) -> Api<DynamicObject> {
    api(client, namespace, ("image.openshift.io", "ImageStream", "imagestreams"))
}

fn api(client: &Client, namespace: &str, (group, kind, plural): (&str, &str, &str)) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(group, "v1", kind);
    Api::namespaced_with(
        client.clone(),
        namespace,
        &ApiResource::from_gvk_with_plural(&kind, plural),
    )
}
