//! What happens when a resource is deleted: runs end, then everything that was made for it goes, then the finalizer.
//!
//! It never hangs: what cannot be seen or does not end is waited for only so long, because the writes of a late task are
//! fenced by the resource's uid.

use std::time::Duration;

use cnbi_shared::config::{Config, DeletionPolicy};
use jiff::{SignedDuration, Timestamp};

use super::action::{Action, Place, Plan};
use super::observed::{Observed, Stream};

/// How long runs may take to end, and an unreadable ImageStream to become readable.
const PATIENCE: SignedDuration = SignedDuration::from_secs(120);

/// How soon to look again meanwhile; the end of a run is seen at once.
const AGAIN: Duration = Duration::from_secs(10);

pub(super) fn delete(observed: &Observed, deleted: Timestamp, now: Timestamp, target: &str, config: &Config) -> Plan {
    if !observed.has_finalizer {
        return Plan::default();
    }
    let is_patient = now.duration_since(deleted) < PATIENCE;
    let wait = |actions| Plan {
        actions,
        status: None,
        requeue: Some(AGAIN),
    };
    let active: Vec<_> = observed.runs.iter().filter(|run| !run.has_ended()).collect();
    if !active.is_empty() && observed.installed.api && is_patient {
        let to_cancel = active.iter().filter(|run| !run.is_cancelled);
        return wait(
            to_cancel
                .map(|run| Action::CancelRun(Place::new(&run.namespace, &run.name)))
                .collect(),
        );
    }
    if observed.stream == Stream::Unknown && is_patient {
        return wait(Vec::new());
    }
    let mut actions = Vec::new();
    if observed.installed.api {
        actions.extend(
            observed
                .runs
                .iter()
                .map(|run| Action::DeleteRun(Place::new(&run.namespace, &run.name))),
        );
    }
    actions.extend(
        observed
            .copies
            .iter()
            .map(|copy| Action::DeleteSecret(Place::new(&copy.namespace, &copy.name))),
    );
    if let (Stream::Ours { uid, .. }, DeletionPolicy::Delete) = (&observed.stream, config.image_stream.deletion_policy)
    {
        actions.push(Action::DeleteStream {
            place: Place::new(target, &observed.name),
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
