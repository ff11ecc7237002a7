//! Admission on a real API server: the webhook as it is deployed, run with its own service account, asked by kubectl and
//! by the API server itself.
//!
//! Each test has an installation of its own on the control plane that all share, so they run side by side. What HTTP
//! alone can show is in the webhook's own tests, and the parts of certificates in `certs.rs`.

mod asked;
mod bounds;
mod cluster;
mod configuration;
mod endurance;
mod examples;
mod exhaustion;
mod faults;
mod hostile;
mod requests;
mod silent;
mod site;
mod unwell;
