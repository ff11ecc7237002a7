//! What GitOps tools and people see: health, drift, order, kustomize, and `kubectl cnbi` on a real API server.
//!
//! The tools are the real ones: kubectl, kustomize, the library by which Flux and kpt read health, and the schema of SARIF. What Tekton would do is
//! played; see `cnbi_tests::tekton`.

#[path = "../controller/cluster.rs"]
#[allow(dead_code, reason = "its words are for the controller's tests too")]
mod cluster;
mod drift;
mod function;
mod golden;
mod health;
#[path = "../../../controller/tests/model/mod.rs"]
#[allow(dead_code, reason = "its words are for the controller's own tests")]
mod model;
mod order;
mod plugin;
mod sarif;
mod screens;
mod site;
mod snippets;
