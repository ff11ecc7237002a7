//! What GitOps tools and users see: health, drift, order, kustomize, and `kubectl cnbi` on a real API server.
//!
//! kubectl, kustomize, the kstatus library of Flux and kpt, and the SARIF schema are real; Tekton is a fake.

mod apply_order;
#[path = "../controller/cluster.rs"]
#[allow(dead_code, reason = "its words are for the controller's tests too")]
mod cluster;
mod drift;
mod generated_docs;
mod gitops_snippets;
mod golden_statuses;
mod health;
mod krm_function;
#[path = "../../controller/tests/model/mod.rs"]
#[allow(dead_code, reason = "its words are for the controller's own tests")]
mod model;
mod plugin;
mod running_cluster;
mod sarif;
mod status_screens;
