//! The status for a run that is in progress or has succeeded, and for the ImageStream that it publishes.

use std::time::Duration;

use cnbi_shared::api::status::{self, Image, ImageStreamTag, Phase, Source, Step};
use cnbi_shared::contract::{ConditionType, Reason, results};
use cnbi_shared::grammar::git_ref::is_object_id;
use cnbi_shared::grammar::image::ImageReference;
use cnbi_shared::verdict::printable;

use super::tag_update::{NEW_UPSTREAM_TAG, TAG_UPDATED, UPSTREAM_REJECTED};
use super::{Planner, SETTLE};
use crate::plan::action::NamespacedName;
use crate::plan::blockers::remaining;
use crate::plan::conditions::{ConditionValue, reported, whole_seconds};
use crate::plan::failure::detected;
use crate::plan::history::digest;
use crate::plan::observed::{ImageStreamState, Run, RunState};
use crate::plan::request::Build;

impl<'a> Planner<'a> {
    /// Reports a run in any state.
    pub(super) fn report_run(&mut self, run: &Run) {
        self.status.pipeline_run = Some(status::PipelineRun {
            namespace: Some(run.namespace.clone()),
            name: Some(run.name.clone()),
            start_time: run.start.map(whole_seconds),
            completion_time: run.completion.map(whole_seconds),
            attempt: i32::try_from(run.attempt).ok(),
            failed_task: None,
        });
        let created = format!("PipelineRun {}/{}", run.namespace, run.name);
        self.conditions.set(
            ConditionType::PipelineRunCreated,
            ConditionValue::yes("RunCreated", created),
        );
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
                    .any(|task| task.task == name && task.state == RunState::Succeeded)
            };
            let value = if run.state == RunState::Succeeded || tasks.all(|task| is_done(task.name)) {
                ConditionValue::yes("Done", "Completed")
            } else {
                ConditionValue::unknown("Pending", "Waiting for the build")
            };
            self.conditions.set(condition, value);
        }
    }

    pub(super) fn building(&mut self, run: &Run) {
        if self.request.pull_secret.is_some() {
            self.copy_for = Some(run.name.clone());
        }
        self.status.phase = Some(Phase::Building);
        self.status.step = Some(self.step(run));
        self.report_in_progress(
            ConditionValue::unknown("Building", "Build in progress"),
            "Building",
            "Build in progress",
        );
    }

    /// The step of the last task that has started.
    pub(super) fn step(&self, run: &Run) -> Step {
        let first = self.pipeline.tasks.first().map_or(Step::Preparing, |task| task.step);
        let has_started = |name: &str| run.tasks.iter().any(|task| task.task == name);
        self.pipeline
            .all_tasks()
            .rev()
            .find(|task| has_started(task.name))
            .map_or(first, |task| task.step)
    }

    pub(super) fn succeeded(&mut self, run: &'a Run) {
        let Some(digest) = digest(run) else {
            let failure = detected(
                self.pipeline,
                Reason::PipelineInvalid,
                "The PipelineRun succeeded but reports no image digest",
            );
            return self.failed(run, failure);
        };
        self.report_image(run, digest);
        self.status.source = self.source(run);
        self.check_image_stream(Some(run));
    }

    pub(super) fn report_image(&mut self, run: &Run, digest: &str) {
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

    /// The build is complete; the ImageStream decides whether the image is usable. `run` is `None` if it was deleted.
    pub(super) fn check_image_stream(&mut self, run: Option<&'a Run>) {
        let tag = self.request.tag(self.observed.generation);
        let key = NamespacedName::new(&self.target, &self.observed.name);
        let fail = |next: &mut Self, reason, message: &str| {
            let mut failure = detected(next.pipeline, reason, message);
            failure.condition = ConditionType::ImageStreamUpdated;
            match run {
                Some(run) => next.failed(run, failure),
                None => next.report_stopped(&failure),
            }
        };
        let found = match &self.observed.stream {
            ImageStreamState::Unknown => {
                if self.was_ready() {
                    return self.ready(&key, tag);
                }
                self.requeue = Some(Duration::from_secs(10));
                return self.importing("The ImageStream has not been read yet");
            }
            ImageStreamState::ApiMissing => {
                self.requeue = Some(Duration::from_secs(30));
                let message = format!(
                    "Namespace {} does not exist, or the cluster does not serve ImageStreams",
                    self.target
                );
                let mut failure = detected(self.pipeline, Reason::ImageStreamApiMissing, &message);
                failure.condition = ConditionType::ImageStreamUpdated;
                return self.report_stopped(&failure);
            }
            ImageStreamState::Foreign => {
                let message = format!("ImageStream {key} exists and belongs to another resource");
                let failure = detected(self.pipeline, Reason::ImageStreamConflict, &message);
                return self.report_stopped(&failure);
            }
            ImageStreamState::Absent => None,
            ImageStreamState::Owned { tags, .. } => tags.get(&tag),
        };
        match found {
            Some(found) if found.is_usable => self.ready(&key, tag),
            Some(found) => match &found.failure {
                Some((reason, message)) => {
                    let mapped_reason = match reason.as_str() {
                        "NotFound" => Reason::ImageNotFound,
                        "Unauthorized" => Reason::RegistryUnauthorized,
                        _ => Reason::ImageStreamCreateFailed,
                    };
                    let message = format!("The import of {key}:{tag} failed: {}", printable(message, 500));
                    fail(self, mapped_reason, &message);
                }
                None => self.importing("OpenShift is importing the image"),
            },
            None => {
                let was_published = reported(self.observed.status.as_ref(), ConditionType::ImageStreamUpdated)
                    .is_some_and(|existing| {
                        existing.status == "True"
                            && existing.observed_generation == Some(self.observed.generation)
                            && [TAG_UPDATED, NEW_UPSTREAM_TAG, UPSTREAM_REJECTED].contains(&existing.reason.as_str())
                    });
                let settling = run.and_then(|run| remaining(run.completion.or(run.start)?, SETTLE, self.now));
                match (was_published, settling, run) {
                    // The tag was deleted. Only a new run can publish it again.
                    (true, _, Some(run)) => self.start(run.attempt.saturating_add(1), 1, ""),
                    (_, _, None) => self.start(self.reported_attempt().saturating_add(1), 1, ""),
                    (false, Some(remaining), Some(_)) => {
                        self.requeue = Some(remaining);
                        self.importing("Waiting for the tag in the ImageStream");
                    }
                    (false, None, Some(run)) => {
                        let message = format!("The PipelineRun succeeded, but {key}:{tag} does not exist");
                        self.failed(run, detected(self.pipeline, Reason::ImageStreamCreateFailed, &message));
                    }
                }
            }
        }
    }

    pub(super) fn ready(&mut self, key: &NamespacedName, tag: String) {
        let message = format!("Published as {key}:{tag}");
        let value = self.tag_condition(key, &tag);
        self.conditions.set(ConditionType::ImageStreamUpdated, value);
        self.conditions
            .set(ConditionType::Ready, ConditionValue::yes("ImageReady", message));
        self.conditions.set(
            ConditionType::Reconciling,
            ConditionValue::no("Done", "No build in progress"),
        );
        self.conditions.set(
            ConditionType::Stalled,
            ConditionValue::no("Done", "No permanent failure"),
        );
        self.status.phase = Some(Phase::Ready);
        self.status.step = Some(Step::Success);
        self.status.image_stream = Some(ImageStreamTag {
            namespace: Some(key.namespace.clone()),
            name: Some(key.name.clone()),
            tag: Some(tag),
        });
    }

    pub(super) fn importing(&mut self, message: &str) {
        self.conditions.set(
            ConditionType::ImageStreamUpdated,
            ConditionValue::unknown("Importing", message),
        );
        self.status.phase = Some(Phase::Building);
        self.status.step = self.pipeline.finally.last().map(|task| task.step);
        self.report_in_progress(ConditionValue::unknown("Importing", message), "Importing", message);
    }
}
