//! Creates runs, and plans for a generation without a run.

use cnbi_shared::api::status::{Phase, Step};
use cnbi_shared::contract::{ConditionType, Reason};

use super::Planner;
use crate::plan::action::{Action, NamespacedName};
use crate::plan::blockers::{blocker_for, pulled_image};
use crate::plan::conditions::{ConditionValue, reported};
use crate::plan::failure::detected;
use crate::plan::history::SUCCESS;
use crate::plan::manifest::{Attempt, pipeline_run, run_copy_name, run_name};
use crate::plan::observed::Run;

impl Planner<'_> {
    pub(super) fn reported_attempt(&self) -> u32 {
        let existing = self.status.pipeline_run.as_ref().and_then(|run| run.attempt);
        existing.and_then(|attempt| u32::try_from(attempt).ok()).unwrap_or(0)
    }

    /// The generation has no run: none was created yet, or it was deleted by hand or by the retention policy.
    pub(super) fn without_run(&mut self) {
        let reported_attempt = self.reported_attempt();
        let named = self.status.pipeline_run.as_ref().and_then(|run| run.name.as_deref());
        let past = self.status.history.iter().find(|past| match named {
            Some(name) => past.name == name,
            None => past.generation == Some(self.observed.generation),
        });
        let past = past.cloned();
        if self.keep_image_without_run(past.as_ref()) {
            return;
        }
        let outcome = past.and_then(|past| past.outcome);
        match outcome.as_deref() {
            None => self.start(reported_attempt.saturating_add(1), 1, ""),
            Some(SUCCESS) => {
                for condition in [
                    ConditionType::PipelineRunCreated,
                    ConditionType::SourcePrepared,
                    ConditionType::ImageValidated,
                    ConditionType::ImageBuilt,
                ] {
                    self.conditions.set(
                        condition,
                        ConditionValue::yes("Done", "Completed by a run that was deleted"),
                    );
                }
                self.check_image_stream(None);
            }
            Some(failed) => match Reason::by_name(failed) {
                Some(reason) if !reason.is_temporary() && self.observed.retry.is_none() => {
                    let before = reported(self.observed.status.as_ref(), ConditionType::Ready);
                    let mut failure = detected(self.pipeline, reason, "A run failed and was deleted");
                    if let Some(before) = before.filter(|before| before.reason == failed) {
                        failure.message.clone_from(&before.message);
                    }
                    let value = ConditionValue::yes("Done", "Completed by a run that was deleted");
                    self.conditions.set(ConditionType::PipelineRunCreated, value);
                    self.status.step = Some(Step::Failed);
                    self.report_permanent_failure(&failure);
                }
                _ => self.start(reported_attempt.saturating_add(1), 1, ""),
            },
        }
    }

    /// Creates a run, or reports what blocks it. `upstream` as in [`Attempt`].
    pub(super) fn start(&mut self, number: u32, tries: u32, upstream: &str) {
        let observed = self.observed;
        let name = run_name(&observed.name, &observed.uid, observed.generation, upstream, number);
        if let Some(blocker) = blocker_for(observed, self.request, self.config, &self.target, &name, self.now) {
            self.requeue = blocker.requeue;
            self.status.phase = Some(if number > 1 { Phase::Building } else { Phase::Pending });
            let Some(reason) = blocker.reason else {
                return self.report_in_progress(
                    ConditionValue::unknown("Pending", blocker.message.clone()),
                    "Pending",
                    &blocker.message,
                );
            };
            let failure = detected(self.pipeline, reason, &blocker.message);
            let value = ConditionValue::no(reason.as_str(), failure.message.clone());
            if reason.is_temporary() {
                self.conditions.set(failure.condition, value.clone());
                self.report_in_progress(value, reason.as_str(), "Waiting; the build starts automatically");
            } else {
                self.report_permanent_failure(&failure);
            }
            return;
        }
        let run = self.create(
            name,
            Attempt {
                number,
                tries,
                upstream,
            },
        );
        self.report_run(&run);
        self.building(&run);
    }

    /// Creates a run.
    pub(super) fn create(&mut self, name: String, attempt: Attempt<'_>) -> Run {
        let observed = self.observed;
        let namespace = self.config.pipelines.run_namespace_for(&observed.namespace).to_owned();
        let base = pulled_image(self.request, self.config).ok().flatten();
        // If the request names no image to pull, the run needs no pull secret.
        let secret = self.request.pull_secret.as_ref().filter(|_| base.is_some()).map(|own| {
            if namespace == observed.namespace {
                own.clone()
            } else {
                run_copy_name(&name)
            }
        });
        if secret.is_some() {
            self.copy_for = Some(name.clone());
        }
        let manifest = pipeline_run(
            observed,
            self.request,
            self.config,
            attempt,
            &self.target,
            base.as_deref(),
            secret.as_deref(),
        );
        let key = NamespacedName::new(&namespace, &name);
        // The run as the watch will deliver it, so that the status does not change then.
        let run = Run {
            namespace,
            name,
            generation: observed.generation,
            attempt: attempt.number,
            tries: attempt.tries,
            upstream: attempt.upstream.to_owned(),
            retry: observed.retry.clone(),
            ..Run::default()
        };
        self.sync_secret_copies();
        self.actions.push(Action::CreateRun { key, manifest });
        run
    }
}
