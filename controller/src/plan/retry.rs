//! What is said and done after a failure: again after a while, or nothing more.

use cnbi_shared::api::status::{Phase, Step};
use cnbi_shared::contract::ConditionType;

use super::Next;
use crate::plan::blockers::{left, wait};
use crate::plan::conditions::Word;
use crate::plan::failure::Failure;
use crate::plan::observed::Run;

impl Next<'_> {
    pub(super) fn failed(&mut self, run: &Run, failure: Failure) {
        let is_asked_again = self.observed.retry.is_some() && self.observed.retry != run.retry;
        if is_asked_again {
            return self.start(run.attempt.saturating_add(1), 1, "");
        }
        let limit = self.config.retry.limit;
        if failure.reason.is_temporary() && run.tries < limit {
            let began = run.completion.or(run.start).unwrap_or(self.now);
            let wait = wait(self.config, run.tries, &run.name);
            return match left(began, wait, self.now) {
                None => self.start(
                    run.attempt.saturating_add(1),
                    run.tries.saturating_add(1),
                    &run.upstream,
                ),
                Some(left) => {
                    self.failed_at(&failure);
                    self.requeue = Some(left);
                    self.status.phase = Some(Phase::Building);
                    self.status.step = Some(self.step(run));
                    let message = failure.message.clone();
                    self.board
                        .say(failure.condition, Word::no(failure.reason.as_str(), message.clone()));
                    self.under_way(
                        Word::no(failure.reason.as_str(), message),
                        "Retrying",
                        "The next run follows",
                    );
                }
            };
        }
        let mut failure = failure;
        if failure.reason.is_temporary() {
            failure.message = format!("{} (given up after {} runs)", failure.message, run.tries);
        }
        self.failed_at(&failure);
        self.status.step = Some(Step::Failed);
        self.give_up(&failure);
    }

    pub(super) fn failed_at(&mut self, failure: &Failure) {
        if let (Some(run), Some(task)) = (&mut self.status.pipeline_run, failure.task) {
            run.failed_task = Some(task.name.to_owned());
        }
    }

    /// A failure that has nothing to do with any run's own.
    pub(super) fn stopped(&mut self, failure: &Failure) {
        if failure.reason.is_temporary() {
            let word = Word::no(failure.reason.as_str(), failure.message.clone());
            self.board.say(failure.condition, word.clone());
            self.status.phase = Some(Phase::Building);
            self.status.step = self.pipeline.finally.last().map(|task| task.step);
            self.under_way(word, failure.reason.as_str(), "It is looked at again");
        } else {
            self.status.step = Some(Step::Failed);
            self.give_up(failure);
        }
    }

    pub(super) fn give_up(&mut self, failure: &Failure) {
        let reason = failure.reason.as_str();
        let word = Word::no(reason, failure.message.clone());
        self.board.say(failure.condition, word.clone());
        self.board.say(ConditionType::Ready, word);
        self.board
            .say(ConditionType::Reconciling, Word::no("Stalled", "Nothing is under way"));
        let until =
            "Nothing happens until the spec or the cluster changes, or the annotation meteor.zone/retry is set anew";
        self.board.say(ConditionType::Stalled, Word::yes(reason, until));
        self.status.phase = Some(Phase::Failed);
    }

    pub(super) fn under_way(&mut self, ready: Word, reason: &str, what: &str) {
        self.board.say(ConditionType::Ready, ready);
        self.board.say(ConditionType::Reconciling, Word::yes(reason, what));
        self.board.say(
            ConditionType::Stalled,
            Word::no("Progressing", "Nothing stands in the way for good"),
        );
    }
}
