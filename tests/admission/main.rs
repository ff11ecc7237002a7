//! Admission tests on a real API server. The webhook runs as deployed, with its own ServiceAccount.
//!
//! Each test has its own installation on the shared control plane, so tests run in parallel. `webhook/tests` contains the tests
//! that need only HTTP.

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
