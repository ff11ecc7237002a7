//! `kubectl cnbi` on a cluster, as its users meet it: the real binary, and an API server that says what a test has it say.

mod api;
mod audit;
mod live;
mod manifests;
mod status;
