//! What is said and done where no run of this generation is there, and how one is made.

use cnbi_shared::api::status::{Phase, Step};
use cnbi_shared::contract::{ConditionType, Reason};

use super::Next;
use crate::plan::action::{Action, Place};
use crate::plan::blockers::{obstacle_to, pulled_image};
use crate::plan::conditions::{Word, said_before};
use crate::plan::failure::ours;
use crate::plan::history::SUCCESS;
use crate::plan::manifest::{Attempt, pipeline_run, run_copy_name, run_name};
use crate::plan::observed::Run;

impl Next<'_> {
    pub(super) fn attempt_said(&self) -> u32 {
        let said = self.status.pipeline_run.as_ref().and_then(|run| run.attempt);
        said.and_then(|attempt| u32::try_from(attempt).ok()).unwrap_or(0)
    }

    /// No run of this generation is there. What the status says of one was deleted by hand, or by age.
    pub(super) fn without_run(&mut self) {
        let said = self.attempt_said();
        let named = self.status.pipeline_run.as_ref().and_then(|run| run.name.as_deref());
        let past = self.status.history.iter().find(|past| match named {
            Some(name) => past.name == name,
            None => past.generation == Some(self.observed.generation),
        });
        let past = past.cloned();
        if self.stands_without(past.as_ref()) {
            return;
        }
        let outcome = past.and_then(|past| past.outcome);
        match outcome.as_deref() {
            None => self.start(said.saturating_add(1), 1, ""),
            Some(SUCCESS) => {
                for condition in [
                    ConditionType::PipelineRunCreated,
                    ConditionType::SourcePrepared,
                    ConditionType::ImageValidated,
                    ConditionType::ImageBuilt,
                ] {
                    self.board
                        .say(condition, Word::yes("Done", "A run has done it that is gone"));
                }
                self.judge_stream(None);
            }
            Some(failed) => match Reason::by_name(failed) {
                Some(reason) if !reason.is_temporary() && self.observed.retry.is_none() => {
                    let before = said_before(self.observed.status.as_ref(), ConditionType::Ready);
                    let mut failure = ours(self.pipeline, reason, "A run failed that is gone");
                    if let Some(before) = before.filter(|before| before.reason == failed) {
                        failure.message.clone_from(&before.message);
                    }
                    let word = Word::yes("Done", "A run has done it that is gone");
                    self.board.say(ConditionType::PipelineRunCreated, word);
                    self.status.step = Some(Step::Failed);
                    self.give_up(&failure);
                }
                _ => self.start(said.saturating_add(1), 1, ""),
            },
        }
    }

    /// Makes a run, or says why not. `upstream` as in [`Attempt`].
    pub(super) fn start(&mut self, number: u32, tries: u32, upstream: &str) {
        let observed = self.observed;
        let name = run_name(&observed.name, &observed.uid, observed.generation, upstream, number);
        if let Some(obstacle) = obstacle_to(observed, self.request, self.config, &self.target, &name, self.now) {
            self.requeue = obstacle.again;
            self.status.phase = Some(if number > 1 { Phase::Building } else { Phase::Pending });
            let Some(reason) = obstacle.reason else {
                return self.under_way(
                    Word::unknown("Pending", obstacle.what.clone()),
                    "Pending",
                    &obstacle.what,
                );
            };
            let failure = ours(self.pipeline, reason, &obstacle.what);
            let word = Word::no(reason.as_str(), failure.message.clone());
            if reason.is_temporary() {
                self.board.say(failure.condition, word.clone());
                self.under_way(word, reason.as_str(), "It goes on by itself");
            } else {
                self.give_up(&failure);
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
        self.tell_run(&run);
        self.building(&run);
    }

    /// Asks for a run, which nothing stands in the way of.
    pub(super) fn create(&mut self, name: String, attempt: Attempt<'_>) -> Run {
        let observed = self.observed;
        let namespace = self.config.pipelines.namespace_of_runs(&observed.namespace).to_owned();
        let base = pulled_image(self.request, self.config).ok().flatten();
        // Where no image of the request is pulled, no copy is made that the run could wait for.
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
        let place = Place::new(&namespace, &name);
        // As the run will be read back, so that the first thing read of it changes nothing here.
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
        self.copies();
        self.actions.push(Action::CreateRun { place, manifest });
        run
    }
}
