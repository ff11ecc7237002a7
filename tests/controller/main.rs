//! The controller on a real API server, with only the RBAC of its service account.
//!
//! Tests that only need a running controller share one and use separate namespaces. Tests that disturb it or count its
//! requests have their own control plane. Tekton and OpenShift are simulated; see `cnbi_tests::fake_tekton`.

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
