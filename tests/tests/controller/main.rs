//! The controller on a real API server, with the rights of its own service account and no others.
//!
//! It looks after a whole cluster: tests that only need a controller that runs share one and live in namespaces of their
//! own, and those that do something to it, or count what it does, have a control plane of their own. What Tekton and
//! OpenShift would do is played; see `cnbi_tests::tekton`.

mod cluster;
mod cost;
mod expired;
mod factory;
mod failures;
mod faults;
mod hands;
mod judged;
mod late;
mod life;
mod orphans;
mod scale;
mod secret;
mod sites;
mod upstream;
