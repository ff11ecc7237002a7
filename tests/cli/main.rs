//! What GitOps tools and people see: health, drift, order, kustomize, and `kubectl cnbi` on a real API server.
//!
//! The tools are the real ones: kubectl, kustomize, the library by which Flux and kpt read health, and the schema of SARIF. What Tekton would do is
//! played; see `cnbi_tests::fake_tekton`.

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
