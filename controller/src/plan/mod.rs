//! From an accepted resource to a run and a status that is true: the decisions, all of them pure.
//!
//! * [`request`] is what a resource asks for, read once from what was accepted;
//! * [`observed`] is everything else that a decision depends on;
//! * [`plan`] decides, and [`action`] is what it can ask for;
//! * [`tag_tracking`] says which tags are followed and when registries are asked;
//! * [`manifest`] is the PipelineRun, [`failure`] what it means that one failed.
//!
//! Nothing here reads or writes a cluster.
//!
//! What is to be done about one resource, and what to say about it. Pure and total.
//!
//! The order of questions: is it being deleted; can it be read; is a run of this generation there, and how does it stand;
//! may one be made. What was decided about a generation stays decided when its run is deleted by hand: `status.history`
//! remembers it.

pub mod action;
mod blockers;
mod conditions;
mod deletion;
mod dependents;
pub mod failure;
mod history;
pub mod manifest;
pub mod observed;
pub mod request;
mod retry;
mod run_status;
mod start;
pub mod tag_tracking;
mod tag_update;

use std::time::Duration;

use cnbi_shared::api::Status;
use cnbi_shared::api::status::Phase;
use cnbi_shared::config::Config;
use cnbi_shared::contract::{self, ConditionType, Pipeline, Reason};
use cnbi_shared::verdict::{Finding, printable};
use jiff::Timestamp;

use self::action::{Action, NamespacedName, Plan};
use self::blockers::pull_secret_condition;
use self::conditions::{ConditionValue, Conditions, reported};
use self::failure::classify;
use self::history::{clean_up_runs, history};
use self::observed::{ObservedState, Run, RunState};
use self::request::Request;

/// How long after its run an ImageStream may still be on its way to us.
const SETTLE: Duration = Duration::from_secs(60);

/// Decides.
pub fn plan(observed: &ObservedState, now: Timestamp, config: &Config) -> Plan {
    let target = target(observed, config);
    if let Some(deleted) = observed.deleted {
        return deletion::delete(observed, deleted, now, &target, config);
    }
    let Some(request) = &observed.request else {
        return plan_invalid(observed, now);
    };
    let pipeline = contract::of(request.build_type());
    let mut next = Planner {
        observed,
        request,
        pipeline,
        config,
        now,
        conditions: Conditions::new(Some(request.build_type()), request.pull_secret.is_some()),
        status: previous_status(observed),
        actions: Vec::new(),
        requeue: None,
        copy_for: None,
        target,
    };
    next.decide();
    next.finish()
}

/// The namespace of the ImageStream: as asked for; else where it was put before; else the configured one.
pub fn target(observed: &ObservedState, config: &Config) -> String {
    let asked = observed.request.as_ref().and_then(|request| request.target.as_deref());
    let before = || observed.status.as_ref()?.image_stream.as_ref()?.namespace.as_deref();
    let configured = || config.default_target(Some(&observed.namespace));
    asked
        .or_else(before)
        .or_else(configured)
        .unwrap_or(&observed.namespace)
        .to_owned()
}

/// What stays in a status until something newer is known: the image that is there, and what became of earlier runs.
fn previous_status(observed: &ObservedState) -> Status {
    let before = observed.status.clone().unwrap_or_default();
    let is_current = before.observed_generation == Some(observed.generation);
    Status {
        observed_generation: Some(observed.generation),
        phase: None,
        step: None,
        conditions: Vec::new(),
        image: before.image,
        image_stream: before.image_stream,
        source: before.source,
        pipeline_run: before.pipeline_run.filter(|_| is_current),
        history: before.history,
    }
}

fn validity(observed: &ObservedState) -> ConditionValue {
    let Some(first) = observed.report.denials().next() else {
        return ConditionValue::yes(
            "RulesPassed",
            "Every rule that can be judged from the resource alone is passed",
        );
    };
    let (told, more) = observed.report.told();
    let mut lines: Vec<String> = told.map(Finding::line).collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    ConditionValue::no(first.rule.id, printable(&lines.join(", "), 30_000))
}

fn plan_invalid(observed: &ObservedState, now: Timestamp) -> Plan {
    let value = match validity(observed) {
        value if value.status == "False" => value,
        // Not reached as long as whatever is accepted can be read.
        _ => ConditionValue::no("Unreadable", "The resource cannot be read"),
    };
    let mut conditions = Conditions::new(None, false);
    conditions.set(
        ConditionType::Ready,
        ConditionValue::no(&value.reason, value.message.clone()),
    );
    conditions.set(
        ConditionType::Reconciling,
        ConditionValue::no("Stalled", "Nothing is under way"),
    );
    conditions.set(
        ConditionType::Stalled,
        ConditionValue::yes(&value.reason, "Nothing is built until the resource is corrected"),
    );
    conditions.set(ConditionType::WellFormed, value);
    let mut status = previous_status(observed);
    status.phase = Some(Phase::Failed);
    status.pipeline_run = None;
    status.conditions = conditions.conditions(observed.status.as_ref(), observed.generation, now);
    let active = observed.runs.iter().filter(|run| !run.has_ended() && !run.is_cancelled);
    let mut actions: Vec<Action> = active
        .map(|run| Action::CancelRun(NamespacedName::new(&run.namespace, &run.name)))
        .collect();
    if has_changed(observed.status.as_ref(), &status) {
        actions.extend(event(observed.status.as_ref(), &status));
    }
    let is_new = has_changed(observed.status.as_ref(), &status);
    Plan {
        actions,
        status: is_new.then_some(status),
        requeue: None,
    }
}

/// A plan in the making.
struct Planner<'a> {
    observed: &'a ObservedState,
    request: &'a Request,
    pipeline: &'static Pipeline,
    config: &'a Config,
    now: Timestamp,
    conditions: Conditions,
    status: Status,
    actions: Vec<Action>,
    requeue: Option<Duration>,
    /// The run that needs its copy of the pull Secret.
    copy_for: Option<String>,
    target: String,
}

impl Planner<'_> {
    fn decide(&mut self) {
        let observed = self.observed;
        self.conditions.set(ConditionType::WellFormed, validity(observed));
        if let Some(value) = pull_secret_condition(observed, self.request, self.config, &self.target) {
            self.conditions.set(ConditionType::PullSecretReady, value);
        } else if let Some(existing) = reported(observed.status.as_ref(), ConditionType::PullSecretReady)
            && existing.status == "True"
        {
            self.conditions.set(
                ConditionType::PullSecretReady,
                ConditionValue::yes(&existing.reason, existing.message.clone()),
            );
        }
        if !observed.has_finalizer {
            self.actions.push(Action::AddFinalizer);
        }
        // An older run must not pass for the one that the status names: its number would be given out again.
        let reported_attempt = self.reported_attempt();
        let of_generation = observed.runs.iter().filter(|run| run.generation == observed.generation);
        let current = of_generation
            .max_by_key(|run| run.attempt)
            .filter(|run| run.attempt >= reported_attempt);
        let is_current = |run: &&Run| current.is_some_and(|current| current.name == run.name);
        for run in observed
            .runs
            .iter()
            .filter(|run| !is_current(run) && !run.has_ended() && !run.is_cancelled)
        {
            self.actions
                .push(Action::CancelRun(NamespacedName::new(&run.namespace, &run.name)));
        }
        self.actions
            .extend(clean_up_runs(observed, current, self.pipeline, self.config));
        self.status.history = history(observed, self.pipeline);
        match current {
            Some(run) if self.is_update_run(run) => self.handle_update_run(run),
            Some(run) => {
                self.report_run(run);
                match run.state {
                    RunState::Running => self.building(run),
                    RunState::Succeeded => self.succeeded(run),
                    RunState::Failed => self.failed(run, classify(self.pipeline, run)),
                }
            }
            None => self.without_run(),
        }
        self.update_from_tag(current);
        self.sync_secret_copies();
        self.sync_annotations(current);
    }

    fn finish(self) -> Plan {
        let Self {
            observed,
            conditions,
            mut status,
            mut actions,
            requeue,
            now,
            ..
        } = self;
        let before = observed.status.as_ref();
        status.conditions = conditions.conditions(before, observed.generation, now);
        let is_new = has_changed(before, &status);
        if is_new {
            actions.extend(event(before, &status));
        }
        Plan {
            actions,
            status: is_new.then_some(status),
            requeue,
        }
    }
}

/// Whether a status says anything that does not stand there. Conditions of others do not count.
fn has_changed(before: Option<&Status>, status: &Status) -> bool {
    let Some(before) = before else { return true };
    let mut before = before.clone();
    before
        .conditions
        .retain(|existing| ConditionType::by_name(&existing.type_).is_some());
    before
        .conditions
        .sort_by_key(|existing| ConditionType::by_name(&existing.type_));
    before != *status
}

/// An Event where `Ready` has come to say something else that is decided; else where there is news of a followed tag.
fn event(before: Option<&Status>, status: &Status) -> Option<Action> {
    let existing = reported(Some(status), ConditionType::Ready)?;
    let earlier = reported(before, ConditionType::Ready);
    let is_same = earlier.is_some_and(|earlier| earlier.status == existing.status && earlier.reason == existing.reason);
    if is_same {
        return tag_update::event(before, status);
    }
    (existing.status != "Unknown").then(|| Action::Event {
        is_warning: existing.status == "False" && existing.reason != Reason::Queued.as_str(),
        reason: existing.reason.clone(),
        message: existing.message.clone(),
    })
}
