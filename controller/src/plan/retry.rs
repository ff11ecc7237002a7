//! After a failure: retry with backoff, or report a permanent failure.

use cnbi_shared::api::status::{Phase, Step};
use cnbi_shared::contract::ConditionType;

use super::Planner;
use crate::plan::blockers::{remaining, retry_delay};
use crate::plan::conditions::ConditionValue;
use crate::plan::failure::BuildFailure;
use crate::plan::observed::Run;

impl Planner<'_> {
    pub(super) fn failed(&mut self, run: &Run, failure: BuildFailure) {
        let is_retry_requested = self.observed.retry.is_some() && self.observed.retry != run.retry;
        if is_retry_requested {
            return self.start(run.attempt.saturating_add(1), 1, "");
        }
        let limit = self.config.retry.limit;
        if failure.reason.is_temporary() && run.tries < limit {
            let began = run.completion.or(run.start).unwrap_or(self.now);
            let retry_delay = retry_delay(self.config, run.tries, &run.name);
            return match remaining(began, retry_delay, self.now) {
                None => self.start(
                    run.attempt.saturating_add(1),
                    run.tries.saturating_add(1),
                    &run.upstream,
                ),
                Some(remaining) => {
                    self.failed_at(&failure);
                    self.requeue = Some(remaining);
                    self.status.phase = Some(Phase::Building);
                    self.status.step = Some(self.step(run));
                    let message = failure.message.clone();
                    self.conditions.set(
                        failure.condition,
                        ConditionValue::no(failure.reason.as_str(), message.clone()),
                    );
                    self.report_in_progress(
                        ConditionValue::no(failure.reason.as_str(), message),
                        "Retrying",
                        "Waiting to retry after a temporary failure",
                    );
                }
            };
        }
        let mut failure = failure;
        if failure.reason.is_temporary() {
            failure.message = format!("{} (gave up after {} runs)", failure.message, run.tries);
        }
        self.failed_at(&failure);
        self.status.step = Some(Step::Failed);
        self.report_permanent_failure(&failure);
    }

    pub(super) fn failed_at(&mut self, failure: &BuildFailure) {
        if let (Some(run), Some(task)) = (&mut self.status.pipeline_run, failure.task) {
            run.failed_task = Some(task.name.to_owned());
        }
    }

    /// Reports a failure that no run has caused.
    pub(super) fn report_stopped(&mut self, failure: &BuildFailure) {
        if failure.reason.is_temporary() {
            let value = ConditionValue::no(failure.reason.as_str(), failure.message.clone());
            self.conditions.set(failure.condition, value.clone());
            self.status.phase = Some(Phase::Building);
            self.status.step = self.pipeline.finally.last().map(|task| task.step);
            self.report_in_progress(value, failure.reason.as_str(), "Waiting for the cause to be resolved");
        } else {
            self.status.step = Some(Step::Failed);
            self.report_permanent_failure(failure);
        }
    }

    pub(super) fn report_permanent_failure(&mut self, failure: &BuildFailure) {
        let reason = failure.reason.as_str();
        let value = ConditionValue::no(reason, failure.message.clone());
        self.conditions.set(failure.condition, value.clone());
        self.conditions.set(ConditionType::Ready, value);
        self.conditions.set(
            ConditionType::Reconciling,
            ConditionValue::no("Stalled", "No build in progress"),
        );
        let message =
            "No retry until the spec or the cluster changes, or the annotation meteor.zone/retry gets a new value";
        self.conditions
            .set(ConditionType::Stalled, ConditionValue::yes(reason, message));
        self.status.phase = Some(Phase::Failed);
    }

    pub(super) fn report_in_progress(&mut self, ready: ConditionValue, reason: &str, message: &str) {
        self.conditions.set(ConditionType::Ready, ready);
        self.conditions
            .set(ConditionType::Reconciling, ConditionValue::yes(reason, message));
        self.conditions.set(
            ConditionType::Stalled,
            ConditionValue::no("Progressing", "No permanent failure"),
        );
    }
}
