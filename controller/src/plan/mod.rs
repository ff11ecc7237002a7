//! Decides what to do about one resource, and its status. Pure: no I/O, no clock.
//!
//! * [`request`] is the spec of a valid resource, [`observed`] everything else that a plan depends on;
//! * [`plan`] returns the actions ([`action`]) and the status;
//! * [`tag_tracking`] decides which tags are tracked and when they are looked up;
//! * [`manifest`] builds the PipelineRun, [`failure`] classifies a failed one.
//!
//! The order of decisions: a resource that is being deleted, an invalid one, the current run of the generation, a new run. The
//! result of a generation stays in `status.history`, so deleting its run by hand does not build again.

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

/// How long after the end of a run the watch may take to deliver its ImageStream.
const SETTLE: Duration = Duration::from_secs(60);

/// Plans for one resource.
pub fn plan(observed: &ObservedState, now: Timestamp, config: &Config) -> Plan {
    let target = target(observed, config);
    if let Some(deleted) = observed.deleted {
        return deletion::delete(observed, deleted, now, &target, config);
    }
    let Some(request) = &observed.request else {
        return plan_invalid(observed, now);
    };
    let pipeline = contract::pipeline_for(request.build_type());
    let mut planner = Planner {
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
    planner.decide();
    planner.finish()
}

/// The target namespace: from the spec, else from the status, else from the configuration.
pub fn target(observed: &ObservedState, config: &Config) -> String {
    let requested = observed.request.as_ref().and_then(|request| request.target.as_deref());
    let before = || observed.status.as_ref()?.image_stream.as_ref()?.namespace.as_deref();
    let configured = || config.default_target(Some(&observed.namespace));
    requested
        .or_else(before)
        .or_else(configured)
        .unwrap_or(&observed.namespace)
        .to_owned()
}

/// The fields of the status that stay until there is something newer: the published image and the history.
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
        return ConditionValue::yes("RulesPassed", "All rules that do not need the cluster pass");
    };
    let (shown, more) = observed.report.shown_denials();
    let mut lines: Vec<String> = shown.map(Finding::line).collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    ConditionValue::no(first.rule.id, printable(&lines.join(", "), 30_000))
}

fn plan_invalid(observed: &ObservedState, now: Timestamp) -> Plan {
    let value = match validity(observed) {
        value if value.status == "False" => value,
        // Unreachable: a valid resource always has a request.
        _ => ConditionValue::no("Unreadable", "The spec is invalid"),
    };
    let mut conditions = Conditions::new(None, false);
    conditions.set(
        ConditionType::Ready,
        ConditionValue::no(&value.reason, value.message.clone()),
    );
    conditions.set(
        ConditionType::Reconciling,
        ConditionValue::no("Stalled", "No build in progress"),
    );
    conditions.set(
        ConditionType::Stalled,
        ConditionValue::yes(
            &value.reason,
            "The resource is invalid; correct the fields listed in condition WellFormed",
        ),
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

/// Builds one plan.
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
    /// The run that needs a copy of the pull secret.
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
        // If the cache does not have the run that the status names, an older run is not the current one.
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

/// Whether the status differs from the stored one. Conditions of other controllers are ignored.
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

/// An Event if `Ready` has changed to `True` or `False`, or if a tracked tag was updated or rejected.
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
