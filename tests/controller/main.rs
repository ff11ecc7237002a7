//! The controller on a real API server, with the rights of its own service account and no others.
//!
//! It looks after a whole cluster: tests that only need a controller that runs share one and live in namespaces of their
//! own, and those that do something to it, or count what it does, have a control plane of their own. What Tekton and
//! OpenShift would do is played; see `cnbi_tests::fake_tekton`.

mod api_writes;
mod cluster;
mod expired_watches;
mod failures;
mod fake_builder;
mod faults;
mod late_tasks;
mod leader_election;
mod lifecycle;
mod manual_changes;
mod orphans;
mod prerequisites;
mod pull_secrets;
mod revalidation;
mod scale;
mod upstream;
