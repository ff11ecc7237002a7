//! Updates of an imported image whose tag points at a new digest.
//!
//! A separate run, the update run, imports the new digest. Until it succeeds, the published image and `Ready` do not change. A
//! failed digest is reported and not retried: only another digest, the retry annotation or a change of the spec starts a new run.

use cnbi_shared::api::Status;
use cnbi_shared::api::status::{PastRun, Phase};
use cnbi_shared::contract::{ConditionType, Reason};
use jiff::Timestamp;

use super::Planner;
use crate::plan::action::{Action, NamespacedName};
use crate::plan::blockers::{blocker_for, remaining, retry_delay};
use crate::plan::conditions::{ConditionValue, reported};
use crate::plan::failure::{BuildFailure, classify, detected};
use crate::plan::history::{SUCCESS, digest};
use crate::plan::manifest::{Attempt, run_name};
use crate::plan::observed::{ImageStreamState, Run, RunState};
use crate::plan::request::Build;
use crate::plan::tag_tracking::{is_digest, tracked};

/// Reason of `ImageStreamUpdated`: the tag is published as the spec requests.
pub(super) const TAG_UPDATED: &str = "TagUpdated";
/// Reason: the tag was updated to a new digest of the upstream tag.
pub(super) const NEW_UPSTREAM_TAG: &str = "NewUpstreamTag";
/// Reason: the upstream tag has a new digest, which was rejected. The published image stays.
pub(super) const UPSTREAM_REJECTED: &str = "NewUpstreamTagRefused";

impl Planner<'_> {
    pub(super) fn was_ready(&self) -> bool {
        reported(self.observed.status.as_ref(), ConditionType::Ready).is_some_and(|existing| {
            existing.status == "True" && existing.observed_generation == Some(self.observed.generation)
        })
    }

    /// The last successful run of the generation. Requires the new `status.history`.
    fn success(&self) -> Option<&PastRun> {
        let is_success = |past: &&PastRun| {
            past.generation == Some(self.observed.generation) && past.outcome.as_deref() == Some(SUCCESS)
        };
        self.status.history.iter().find(is_success)
    }

    /// Whether an image of this generation is published and usable.
    fn has_usable_image(&self) -> bool {
        let tag = self.request.tag(self.observed.generation);
        let is_usable = match &self.observed.stream {
            ImageStreamState::Owned { tags, .. } => tags.get(&tag).is_some_and(|tag| tag.is_usable),
            ImageStreamState::Unknown => self.was_ready(),
            ImageStreamState::ApiMissing | ImageStreamState::Absent | ImageStreamState::Foreign => false,
        };
        is_usable && self.success().is_some()
    }

    /// Whether the run is an update run while a usable image is published.
    pub(super) fn is_update_run(&self, run: &Run) -> bool {
        let has_succeeded = run.state == RunState::Succeeded && digest(run).is_some();
        !run.upstream.is_empty() && !has_succeeded && self.has_usable_image()
    }

    pub(super) fn handle_update_run(&mut self, run: &Run) {
        let failure = match run.state {
            RunState::Running => return self.report_update_run(run),
            RunState::Succeeded => detected(
                self.pipeline,
                Reason::PipelineInvalid,
                "The PipelineRun succeeded but reports no image digest",
            ),
            RunState::Failed => classify(self.pipeline, run),
        };
        let is_retry_requested = self.observed.retry.is_some() && self.observed.retry != run.retry;
        if is_retry_requested && self.start_update_run(&run.upstream, run.attempt.saturating_add(1), 1) {
            return;
        }
        self.keep_published_image(run);
        self.failed_at(&failure);
        if failure.reason.is_temporary() && run.tries < self.config.retry.limit {
            let began = run.completion.or(run.start).unwrap_or(self.now);
            match remaining(began, retry_delay(self.config, run.tries, &run.name), self.now) {
                None => {
                    let (number, tries) = (run.attempt.saturating_add(1), run.tries.saturating_add(1));
                    if self.start_update_run(&run.upstream, number, tries) {
                        return;
                    }
                }
                Some(remaining) => self.requeue = Some(remaining),
            }
            let message = "Waiting to retry the import of the new digest";
            self.conditions
                .set(ConditionType::Reconciling, ConditionValue::yes("Retrying", message));
            return;
        }
        if self.tag_still_differs(run) {
            self.report_rejected_update(run, &failure);
        }
    }

    /// The update run was deleted by hand: keeps the published image. Returns whether it applies.
    pub(super) fn keep_image_without_run(&mut self, past: Option<&PastRun>) -> bool {
        let was_beside =
            past.is_none_or(|past| past.upstream_digest.is_some() && past.outcome.as_deref() != Some(SUCCESS));
        if !was_beside || !self.has_usable_image() {
            return false;
        }
        let stored = reported(self.observed.status.as_ref(), ConditionType::ImageStreamUpdated)
            .filter(|existing| existing.reason == UPSTREAM_REJECTED)
            .map(|existing| ConditionValue::yes(UPSTREAM_REJECTED, existing.message.clone()));
        let done = ConditionValue::yes("Done", "Completed by a run that was deleted");
        self.conditions.set(ConditionType::PipelineRunCreated, done.clone());
        self.conditions.set(ConditionType::ImageValidated, done);
        self.ready_as_before();
        if let Some(stored) = stored {
            self.conditions.set(ConditionType::ImageStreamUpdated, stored);
        }
        true
    }

    /// Starts an update run for a new digest, unless it is published already or has failed before.
    pub(super) fn update_from_tag(&mut self, current: Option<&Run>) {
        let Some(upstream) = &self.observed.upstream else {
            return;
        };
        let is_building = current.is_some_and(|run| !run.has_ended());
        let creates_run = self
            .actions
            .iter()
            .any(|action| matches!(action, Action::CreateRun { .. }));
        if tracked(self.request, self.config).is_none()
            || self.status.phase != Some(Phase::Ready)
            || is_building
            || creates_run
            || !is_digest(&upstream.digest)
        {
            return;
        }
        let is_there = self.status.image.as_ref().and_then(|image| image.digest.as_deref()) == Some(&upstream.digest);
        let was_last = current.is_some_and(|run| run.upstream == upstream.digest);
        let has_failed = self.status.history.iter().any(|past| {
            past.generation == Some(self.observed.generation)
                && past.upstream_digest.as_ref() == Some(&upstream.digest)
                && past.outcome.as_deref() != Some(SUCCESS)
        });
        // A lookup from before the end of the last run may be older than the result of that run.
        let ended = current.and_then(|run| run.completion.or(run.start));
        let is_old = ended.is_some_and(|ended| upstream.at <= ended) || upstream.at <= self.ready_since();
        if is_there || was_last || has_failed || is_old {
            return;
        }
        let number = current
            .map_or(0, |run| run.attempt)
            .max(self.reported_attempt())
            .saturating_add(1);
        self.start_update_run(&upstream.digest, number, 1);
    }

    fn ready_since(&self) -> Timestamp {
        reported(self.observed.status.as_ref(), ConditionType::Ready)
            .filter(|existing| existing.status == "True")
            .map_or(self.now, |existing| existing.last_transition_time.0)
    }

    /// Creates an update run. If it is blocked, only a requeue is planned: the published image stays usable. Returns whether a run
    /// is created.
    fn start_update_run(&mut self, upstream: &str, number: u32, tries: u32) -> bool {
        let observed = self.observed;
        let name = run_name(&observed.name, &observed.uid, observed.generation, upstream, number);
        if let Some(blocker) = blocker_for(observed, self.request, self.config, &self.target, &name, self.now) {
            self.requeue = blocker.requeue.or(self.requeue);
            return false;
        }
        let run = self.create(
            name,
            Attempt {
                number,
                tries,
                upstream,
            },
        );
        self.report_update_run(&run);
        true
    }

    /// Reports an update run in progress.
    fn report_update_run(&mut self, run: &Run) {
        if self.request.pull_secret.is_some() {
            self.copy_for = Some(run.name.clone());
        }
        self.keep_published_image(run);
        self.status.step = Some(self.step(run));
        let message = format!("Importing new digest {1} of {0}", self.source_image(), run.upstream);
        self.conditions.set(
            ConditionType::Reconciling,
            ConditionValue::yes(NEW_UPSTREAM_TAG, message),
        );
    }

    /// Reports `run`, and keeps the published image.
    fn keep_published_image(&mut self, run: &Run) {
        self.report_run(run);
        let done = ConditionValue::yes("Done", "Completed by an earlier run");
        self.conditions.set(ConditionType::ImageValidated, done);
        self.ready_as_before();
    }

    fn ready_as_before(&mut self) {
        if self.status.image.is_none() {
            let wanted = self.success().map(|past| past.name.clone());
            let run = self.observed.runs.iter().find(|run| Some(&run.name) == wanted.as_ref());
            if let Some((run, digest)) = run.and_then(|run| Some((run, digest(run)?))) {
                self.report_image(run, digest);
            }
        }
        let key = NamespacedName::new(&self.target, &self.observed.name);
        self.ready(&key, self.request.tag(self.observed.generation));
    }

    /// Whether the tag still points at the digest that failed. Without a lookup, the stored status decides.
    fn tag_still_differs(&self, run: &Run) -> bool {
        if let Some(upstream) = &self.observed.upstream {
            let image = self.status.image.as_ref().and_then(|image| image.digest.as_ref());
            return image != Some(&upstream.digest);
        }
        let before = self.observed.status.as_ref();
        let stored = before.and_then(|status| status.pipeline_run.as_ref());
        let was_reported =
            stored.is_some_and(|stored| stored.name.as_ref() == Some(&run.name) && stored.completion_time.is_some());
        let existing = reported(before, ConditionType::ImageStreamUpdated);
        !was_reported || existing.is_none_or(|existing| existing.reason == UPSTREAM_REJECTED)
    }

    fn report_rejected_update(&mut self, run: &Run, failure: &BuildFailure) {
        let key = NamespacedName::new(&self.target, &self.observed.name);
        let tag = self.request.tag(self.observed.generation);
        let message = format!(
            "{key}:{tag} is unchanged: {} points at new digest {}, which was rejected ({}): {}",
            self.source_image(),
            run.upstream,
            failure.reason,
            failure.message
        );
        self.conditions.set(
            ConditionType::ImageStreamUpdated,
            ConditionValue::yes(UPSTREAM_REJECTED, message),
        );
    }

    /// The condition `ImageStreamUpdated` of a published tag.
    pub(super) fn tag_condition(&self, key: &NamespacedName, tag: &str) -> ConditionValue {
        match self.success().and_then(|past| past.upstream_digest.as_ref()) {
            Some(digest) => ConditionValue::yes(
                NEW_UPSTREAM_TAG,
                format!(
                    "{key}:{tag} was updated to new digest {digest} of {}",
                    self.source_image()
                ),
            ),
            None => ConditionValue::yes(TAG_UPDATED, format!("{key}:{tag} points at the image")),
        }
    }

    fn source_image(&self) -> &str {
        match &self.request.build {
            Build::Import { from_image } => from_image.as_str(),
            Build::Packages { .. } | Build::Git { .. } => "the image",
        }
    }
}

/// An Event if a tracked tag was updated, or its new digest was rejected.
pub(super) fn event(before: Option<&Status>, status: &Status) -> Option<Action> {
    let existing = reported(Some(status), ConditionType::ImageStreamUpdated)?;
    let earlier = reported(before, ConditionType::ImageStreamUpdated)?;
    let is_same = earlier.reason == existing.reason && earlier.message == existing.message;
    let has_changed = [NEW_UPSTREAM_TAG, UPSTREAM_REJECTED].contains(&existing.reason.as_str());
    (has_changed && !is_same).then(|| Action::Event {
        is_warning: existing.reason == UPSTREAM_REJECTED,
        reason: existing.reason.clone(),
        message: existing.message.clone(),
    })
}
