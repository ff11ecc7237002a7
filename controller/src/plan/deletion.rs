//! Deletion of a resource: cancel its runs, delete its dependents, remove the finalizer.
//!
//! Waiting has a timeout, so that deletion never hangs. Writes of a task that ends later have the uid of the resource as a
//! precondition.

use std::time::Duration;

use cnbi_shared::config::{Config, DeletionPolicy};
use jiff::{SignedDuration, Timestamp};

use super::action::{Action, NamespacedName, Plan};
use super::observed::{ImageStreamState, ObservedState};

/// Limit of the time to wait for runs to end and for the ImageStream to be read.
const TIMEOUT: SignedDuration = SignedDuration::from_secs(120);

/// How often to check meanwhile. The end of a run triggers a reconcile by itself.
const REQUEUE: Duration = Duration::from_secs(10);

pub(super) fn delete(
    observed: &ObservedState,
    deleted: Timestamp,
    now: Timestamp,
    target: &str,
    config: &Config,
) -> Plan {
    if !observed.has_finalizer {
        return Plan::default();
    }
    let is_within_timeout = now.duration_since(deleted) < TIMEOUT;
    let wait = |actions| Plan {
        actions,
        status: None,
        requeue: Some(REQUEUE),
    };
    let active: Vec<_> = observed.runs.iter().filter(|run| !run.has_ended()).collect();
    if !active.is_empty() && observed.prerequisites.api && is_within_timeout {
        let to_cancel = active.iter().filter(|run| !run.is_cancelled);
        return wait(
            to_cancel
                .map(|run| Action::CancelRun(NamespacedName::new(&run.namespace, &run.name)))
                .collect(),
        );
    }
    if observed.stream == ImageStreamState::Unknown && is_within_timeout {
        return wait(Vec::new());
    }
    let mut actions = Vec::new();
    if observed.prerequisites.api {
        actions.extend(
            observed
                .runs
                .iter()
                .map(|run| Action::DeleteRun(NamespacedName::new(&run.namespace, &run.name))),
        );
    }
    actions.extend(
        observed
            .copies
            .iter()
            .map(|copy| Action::DeleteSecret(NamespacedName::new(&copy.namespace, &copy.name))),
    );
    if let (ImageStreamState::Owned { uid, .. }, DeletionPolicy::Delete) =
        (&observed.stream, config.image_stream.deletion_policy)
    {
        actions.push(Action::DeleteStream {
            key: NamespacedName::new(target, &observed.name),
            uid: uid.clone(),
        });
    }
    actions.push(Action::RemoveFinalizer);
    Plan {
        actions,
        status: None,
        requeue: None,
    }
}
