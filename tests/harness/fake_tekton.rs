//! A fake of Tekton's controller and of OpenShift's image import, for clusters that have neither.
//!
//! The kinds are Tekton's own if `CNBI_TEKTON_CRDS` names a file with its definitions, else small fakes. No task runs and no
//! image is imported: the fake writes the status that Tekton or OpenShift would write, as a [`scenario`] says. It knows nothing
//! of CNBi and its Pipelines. A test that uses it proves something about CNBi and nothing about Tekton.

mod controller;
mod definitions;
pub mod image_import;
mod requests;
mod run_status;
pub mod scenario;
mod simulated_run;
mod task_run;

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};

pub use controller::FakeTekton;
pub use definitions::{Definitions, install, install_from, install_image_streams};
pub use simulated_run::{RunOutcome, SimulatedRun};

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
