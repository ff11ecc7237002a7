//! Tests of `kubectl cnbi` with a fake API server.

mod api;
mod audit;
mod live;
mod manifests;
mod status;
