//! What is kept of runs that have ended, and what goes: volumes, copies of Secrets, the runs themselves.

use cnbi_shared::api::status::PastRun;
use cnbi_shared::config::Config;
use cnbi_shared::contract::{Pipeline, results};

use super::action::{Action, NamespacedName};
use super::failure::classify;
use super::observed::{ObservedState, Run, RunState};
use super::tag_tracking::is_digest;

/// Most items of `status.history`.
const HISTORY_LIMIT: usize = 5;

/// What `status.history` says of a run that went well.
pub(super) const SUCCESS: &str = "Success";

/// Removes what ended runs have left behind, but nothing of the run that is `current`.
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
            // The status says how to read the log of the task that failed.
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

/// `status.history`: what was said of runs that are gone, and what is known of those that are still there. The same for
/// the same runs, however often it is asked.
pub(super) fn history(observed: &ObservedState, pipeline: &Pipeline) -> Vec<PastRun> {
    let existing = observed.status.as_ref().map_or(&[][..], |status| &status.history);
    let mut ended: Vec<&Run> = observed.runs.iter().filter(|run| run.has_ended()).collect();
    ended.sort_by_key(|run| std::cmp::Reverse((run.generation, run.attempt)));
    let mut all: Vec<PastRun> = ended.iter().map(|run| past_run(run, pipeline)).collect();
    let is_gone = |past_run: &&PastRun| !observed.runs.iter().any(|run| run.name == past_run.name);
    all.extend(existing.iter().filter(is_gone).cloned());
    // Stable: within a generation, those that are gone are older than those that are there.
    all.sort_by_key(|past_run| std::cmp::Reverse(past_run.generation));
    // The last success is remembered for as long as the resource stands by it.
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

/// The digest that a run reports, if it is one: of SHA-256, as registries have it.
pub(super) fn digest(run: &Run) -> Option<&str> {
    let digest = run.results.get(results::DIGEST)?.trim();
    is_digest(digest).then_some(digest)
}
