//! Admission on a real API server: the webhook as it is deployed, run with its own service account, asked by kubectl and
//! by the API server itself.
//!
//! Each test has an installation of its own on the control plane that all share, so they run side by side. What HTTP
//! alone can show is in the webhook's own tests, and the parts of certificates in `certs.rs`.

mod api_response;
mod certificates;
mod cluster;
mod configuration;
mod degraded_api_server;
mod endurance;
mod exhaustion;
mod faults;
mod fuzz;
mod hostile_requests;
mod idle_connections;
mod limits;
mod requests;
mod rotation;
mod rule_examples;
mod schema;
mod test_installation;
