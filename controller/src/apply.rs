//! Does what a plan says, and nothing else.

use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::plan::Plan;
use crate::stored::Stored;

/// The field manager that owns all that the controller writes.
pub const FIELD_MANAGER: &str = "cnbi-controller";

/// Carries out the plan for that resource. Whether anything was written.
pub async fn apply(client: &Client, resource: &Stored, plan: Plan) -> Result<bool, Failure> {
    let Plan { status } = plan;
    let (Some(status), Some(name)) = (status, resource.metadata.name.as_deref()) else {
        return Ok(false);
    };
    let namespace = resource.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<Stored> = Api::namespaced(client.clone(), namespace);
    let body: Value = json!({
        "apiVersion": Stored::api_version(&()),
        "kind": Stored::kind(&()),
        // With the uid, so that what was found out about a resource is never said about a namesake that came after it.
        "metadata": { "name": name, "uid": resource.metadata.uid },
        "status": status,
    });
    // Nobody else says what these fields say, so a conflict would be with a person who tried.
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(name, &params, &Patch::Apply(&body)).await?;
    Ok(true)
}
