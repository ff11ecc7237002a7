//! What is said of a run that is there and has not failed, and of the ImageStream that it leaves behind.

use std::time::Duration;

use cnbi_shared::api::status::{self, Image, ImageStreamTag, Phase, Source, Step};
use cnbi_shared::contract::{ConditionType, Reason, results};
use cnbi_shared::grammar::git_ref::is_object_id;
use cnbi_shared::grammar::image::ImageReference;
use cnbi_shared::verdict::printable;

use super::tag_update::{NEW_UPSTREAM_TAG, TAG_UPDATED, UPSTREAM_REFUSED};
use super::{Next, SETTLE};
use crate::plan::action::Place;
use crate::plan::blockers::left;
use crate::plan::conditions::{Word, said_before, whole_seconds};
use crate::plan::failure::ours;
use crate::plan::history::digest;
use crate::plan::observed::{Outcome, Run, Stream};
use crate::plan::request::Build;

impl<'a> Next<'a> {
    /// What is the same of a run however it stands.
    pub(super) fn tell_run(&mut self, run: &Run) {
        self.status.pipeline_run = Some(status::PipelineRun {
            namespace: Some(run.namespace.clone()),
            name: Some(run.name.clone()),
            start_time: run.start.map(whole_seconds),
            completion_time: run.completion.map(whole_seconds),
            attempt: i32::try_from(run.attempt).ok(),
            failed_task: None,
        });
        let created = format!("The run is {}/{}", run.namespace, run.name);
        self.board
            .say(ConditionType::PipelineRunCreated, Word::yes("RunCreated", created));
        for condition in [
            ConditionType::SourcePrepared,
            ConditionType::ImageValidated,
            ConditionType::ImageBuilt,
            ConditionType::ImageStreamUpdated,
        ] {
            let mut tasks = self.pipeline.all_tasks().filter(|task| task.condition == condition);
            let is_done = |name: &str| {
                run.tasks
                    .iter()
                    .any(|task| task.task == name && task.outcome == Outcome::True)
            };
            let word = if run.outcome == Outcome::True || tasks.all(|task| is_done(task.name)) {
                Word::yes("Done", "The run has done it")
            } else {
                Word::unknown("Pending", "The run has not come to it, or is at it")
            };
            self.board.say(condition, word);
        }
    }

    pub(super) fn building(&mut self, run: &Run) {
        if self.request.pull_secret.is_some() {
            self.copy_for = Some(run.name.clone());
        }
        self.status.phase = Some(Phase::Building);
        self.status.step = Some(self.step(run));
        self.under_way(
            Word::unknown("Building", "A run is under way"),
            "Building",
            "A run is under way",
        );
    }

    /// The state of the build: that of the last of its tasks that has begun.
    pub(super) fn step(&self, run: &Run) -> Step {
        let first = self.pipeline.tasks.first().map_or(Step::Preparing, |task| task.step);
        let begun = |name: &str| run.tasks.iter().any(|task| task.task == name);
        self.pipeline
            .all_tasks()
            .rev()
            .find(|task| begun(task.name))
            .map_or(first, |task| task.step)
    }

    pub(super) fn succeeded(&mut self, run: &'a Run) {
        let Some(digest) = digest(run) else {
            let failure = ours(
                self.pipeline,
                Reason::PipelineInvalid,
                "The run succeeded but reports no digest of an image",
            );
            return self.failed(run, failure);
        };
        self.tell_image(run, digest);
        self.status.source = self.source(run);
        self.judge_stream(Some(run));
    }

    pub(super) fn tell_image(&mut self, run: &Run, digest: &str) {
        let reference = run.results.get(results::REFERENCE).map(|text| text.trim());
        let reference = reference.filter(|text| text.len() <= 1024 && ImageReference::parse(text).is_ok());
        self.status.image = Some(Image {
            reference: reference.map(str::to_owned),
            digest: Some(digest.to_owned()),
            tag: Some(self.request.tag(self.observed.generation)),
        });
    }

    pub(super) fn source(&self, run: &Run) -> Option<Source> {
        let commit = run.results.get(results::COMMIT).map(|commit| commit.trim());
        let commit = commit.filter(|commit| is_object_id(commit)).map(str::to_owned);
        match &self.request.build {
            Build::Import { .. } => None,
            Build::Packages { .. } => commit.map(|commit| Source {
                commit: Some(commit),
                ..Source::default()
            }),
            Build::Git { url, git_ref, .. } => Some(Source {
                repository_url: Some(url.clone()),
                git_ref: git_ref.clone(),
                commit,
            }),
        }
    }

    /// The build is done; whether the image can be used, the ImageStream says. `run` is `None` where it is gone.
    pub(super) fn judge_stream(&mut self, run: Option<&'a Run>) {
        let tag = self.request.tag(self.observed.generation);
        let place = Place::new(&self.target, &self.observed.name);
        let fail = |next: &mut Self, reason, what: &str| {
            let mut failure = ours(next.pipeline, reason, what);
            failure.condition = ConditionType::ImageStreamUpdated;
            match run {
                Some(run) => next.failed(run, failure),
                None => next.stopped(&failure),
            }
        };
        let found = match &self.observed.stream {
            Stream::Unknown => {
                if self.was_ready() {
                    return self.ready(&place, tag);
                }
                self.requeue = Some(Duration::from_secs(10));
                return self.importing("Nobody could look at the ImageStream yet");
            }
            Stream::ApiMissing => {
                self.requeue = Some(Duration::from_secs(30));
                let what = format!("There can be no ImageStreams in {}", self.target);
                let mut failure = ours(self.pipeline, Reason::ImageStreamApiMissing, &what);
                failure.condition = ConditionType::ImageStreamUpdated;
                return self.stopped(&failure);
            }
            Stream::Foreign => {
                let what = format!("The ImageStream {place} belongs to somebody else");
                let failure = ours(self.pipeline, Reason::ImageStreamConflict, &what);
                return self.stopped(&failure);
            }
            Stream::Absent => None,
            Stream::Ours { tags, .. } => tags.get(&tag),
        };
        match found {
            Some(found) if found.is_usable => self.ready(&place, tag),
            Some(found) => match &found.failure {
                Some((reason, message)) => {
                    let ours_is = match reason.as_str() {
                        "NotFound" => Reason::ImageNotFound,
                        "Unauthorized" => Reason::RegistryUnauthorized,
                        _ => Reason::ImageStreamCreateFailed,
                    };
                    let what = format!("The import of {place}:{tag} failed: {}", printable(message, 500));
                    fail(self, ours_is, &what);
                }
                None => self.importing("The ImageStream has the tag, and its image is being imported"),
            },
            None => {
                let was_there = said_before(self.observed.status.as_ref(), ConditionType::ImageStreamUpdated)
                    .is_some_and(|said| {
                        said.status == "True"
                            && said.observed_generation == Some(self.observed.generation)
                            && [TAG_UPDATED, NEW_UPSTREAM_TAG, UPSTREAM_REFUSED].contains(&said.reason.as_str())
                    });
                let settling = run.and_then(|run| left(run.completion.or(run.start)?, SETTLE, self.now));
                match (was_there, settling, run) {
                    // Somebody has deleted it, and only a run can make it again.
                    (true, _, Some(run)) => self.start(run.attempt.saturating_add(1), 1, ""),
                    (_, _, None) => self.start(self.attempt_said().saturating_add(1), 1, ""),
                    (false, Some(left), Some(_)) => {
                        self.requeue = Some(left);
                        self.importing("The tag is not seen in the ImageStream yet");
                    }
                    (false, None, Some(run)) => {
                        let what = format!("The run succeeded, and there is no {place}:{tag}");
                        self.failed(run, ours(self.pipeline, Reason::ImageStreamCreateFailed, &what));
                    }
                }
            }
        }
    }

    pub(super) fn ready(&mut self, place: &Place, tag: String) {
        let what = format!("{place}:{tag} is there for spawning");
        let word = self.tag_word(place, &tag);
        self.board.say(ConditionType::ImageStreamUpdated, word);
        self.board.say(ConditionType::Ready, Word::yes("ImageReady", what));
        self.board
            .say(ConditionType::Reconciling, Word::no("Done", "Nothing is under way"));
        self.board
            .say(ConditionType::Stalled, Word::no("Done", "Nothing stands in the way"));
        self.status.phase = Some(Phase::Ready);
        self.status.step = Some(Step::Success);
        self.status.image_stream = Some(ImageStreamTag {
            namespace: Some(place.namespace.clone()),
            name: Some(place.name.clone()),
            tag: Some(tag),
        });
    }

    pub(super) fn importing(&mut self, what: &str) {
        self.board
            .say(ConditionType::ImageStreamUpdated, Word::unknown("Importing", what));
        self.status.phase = Some(Phase::Building);
        self.status.step = self.pipeline.finally.last().map(|task| task.step);
        self.under_way(Word::unknown("Importing", what), "Importing", what);
    }
}
