//! Retention of ended runs: deletes volumes, pods and old runs, and writes `status.history`.

use cnbi_shared::api::status::PastRun;
use cnbi_shared::config::Config;
use cnbi_shared::contract::{Pipeline, results};

use super::action::{Action, NamespacedName};
use super::failure::classify;
use super::observed::{ObservedState, Run, RunState};
use super::tag_tracking::is_digest;

/// Limit of `status.history`.
const HISTORY_LIMIT: usize = 5;

/// Outcome of a successful run in `status.history`.
pub(super) const SUCCESS: &str = "Success";

/// Deletes old runs, and the volumes and pods of ended runs. Never deletes the `current` run.
pub(super) fn clean_up_runs(
    observed: &ObservedState,
    current: Option<&Run>,
    pipeline: &Pipeline,
    config: &Config,
) -> Vec<Action> {
    let mut ended: Vec<&Run> = observed.runs.iter().filter(|run| run.has_ended()).collect();
    ended.sort_by_key(|run| std::cmp::Reverse((run.generation, run.attempt)));
    let (mut succeeded, mut failed) = (0, 0);
    let mut actions = Vec::new();
    for run in ended {
        let (count, limit) = if run.state == RunState::Succeeded {
            (&mut succeeded, config.history.succeeded)
        } else {
            (&mut failed, config.history.failed)
        };
        *count += 1;
        let key = NamespacedName::new(&run.namespace, &run.name);
        let is_current = current.is_some_and(|current| current.name == run.name);
        if *count > limit && !is_current {
            actions.push(Action::DeleteRun(key));
        } else if run.has_volume || (run.has_kept_pod && !is_current) {
            // The message of the failure contains the command that shows the log of this pod.
            let is_reported = is_current && run.state == RunState::Failed;
            let keep = if is_reported {
                classify(pipeline, run).task.map(|task| task.name)
            } else {
                None
            };
            actions.push(Action::DeleteVolume { key, keep });
        }
    }
    actions
}

/// `status.history`: ended runs that exist, and earlier entries for deleted ones. Idempotent.
pub(super) fn history(observed: &ObservedState, pipeline: &Pipeline) -> Vec<PastRun> {
    let stored = observed.status.as_ref().map_or(&[][..], |status| &status.history);
    let mut ended: Vec<&Run> = observed.runs.iter().filter(|run| run.has_ended()).collect();
    ended.sort_by_key(|run| std::cmp::Reverse((run.generation, run.attempt)));
    let mut all: Vec<PastRun> = ended.iter().map(|run| past_run(run, pipeline)).collect();
    let is_deleted = |past_run: &&PastRun| !observed.runs.iter().any(|run| run.name == past_run.name);
    all.extend(stored.iter().filter(is_deleted).cloned());
    // A stable sort: within a generation, deleted runs are older than existing ones.
    all.sort_by_key(|past_run| std::cmp::Reverse(past_run.generation));
    // The last success is never dropped: it is the published image.
    if let Some(success) = all
        .iter()
        .position(|past_run| past_run.outcome.as_deref() == Some(SUCCESS))
        && success >= HISTORY_LIMIT
    {
        all.swap(HISTORY_LIMIT - 1, success);
    }
    all.truncate(HISTORY_LIMIT);
    all
}

fn past_run(run: &Run, pipeline: &Pipeline) -> PastRun {
    let outcome = if run.state == RunState::Succeeded {
        SUCCESS.to_owned()
    } else {
        classify(pipeline, run).reason.to_string()
    };
    PastRun {
        name: run.name.clone(),
        generation: Some(run.generation),
        outcome: Some(outcome),
        digest: digest(run).map(str::to_owned),
        upstream_digest: Some(run.upstream.clone()).filter(|upstream| is_digest(upstream)),
    }
}

/// The digest in the results of a run, if it is a valid SHA-256 digest.
pub(super) fn digest(run: &Run) -> Option<&str> {
    let digest = run.results.get(results::DIGEST)?.trim();
    is_digest(digest).then_some(digest)
}
