//! The admission webhook for `CustomNBImage`: mutates and validates resources before the API server stores them.
//!
//! The rules are in `cnbi-shared`, the certificates in `cnbi-certs`. A replica holds no state that other replicas lack, so any
//! replica answers any review.
//!
//! * a connection: [`serve`], [`tls`], [`connections`], [`connection`], [`header_timeout`];
//! * a request on it: [`routes`], [`body_budget`], [`concurrency_limit`];
//! * the review in the request: [`reviewer`], [`admission_request`], [`admission`], [`patch`], [`admission_response`];
//! * the facts that rules need: [`facts`], [`api_server`];
//! * in the background: [`certificates`] and [`client_ca`] update [`tls`], and
//!   `heap_trim` returns memory after a burst of reviews.

pub mod admission;
pub mod admission_request;
pub mod admission_response;
pub mod api_server;
pub mod args;
pub mod body_budget;
pub mod certificates;
pub mod client_ca;
pub mod concurrency_limit;
pub mod connection;
pub mod connections;
pub mod facts;
pub mod header_timeout;
pub mod health;
mod heap_trim;
pub mod metrics;
pub mod patch;
pub mod reviewer;
pub mod routes;
pub mod run;
pub mod serve;
pub mod tls;

#[cfg(test)]
#[path = "../tests/resident/mod.rs"]
mod resident;
