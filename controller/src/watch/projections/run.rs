//! What is kept of a PipelineRun.

use cnbi_shared::api::BuildType;
use cnbi_shared::contract::{self, results, workspaces};
use jiff::Timestamp;
use serde_json::Value;

use super::{Kept, Kind, boxed, results as read_results, succeeded};
use crate::plan::action::Place;
use crate::plan::by_name::ByName;
use crate::plan::manifest::{ATTEMPT, GENERATION, NAMESPACE, POD_KEPT, RETRY, TRIES, UID, UPSTREAM, VOLUME_DELETED};
use crate::plan::observed::{self, Outcome};

/// The results that a run is read for.
const RESULTS: [&str; 5] = [
    results::DIGEST,
    results::REFERENCE,
    results::COMMIT,
    results::SOURCE_URL,
    results::LOCK_DIGEST,
];

/// A PipelineRun of ours. What [`observed::Run`] has, in less memory: most of what can be said of a run is not said of most.
#[derive(Clone, Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "four things that are so or not, each on its own"
)]
pub struct Run {
    /// The uid of the resource that it was made for.
    pub of: Option<Box<str>>,
    /// The namespace of that resource.
    pub of_namespace: Option<Box<str>>,
    /// What it builds, by its Pipeline. `None`: the Pipeline is none of ours.
    pub build_type: Option<BuildType>,
    /// Whether it is being deleted already.
    pub is_terminating: bool,
    /// The Secret with the credentials for the image to pull.
    pub secret: Option<Box<str>>,
    /// Names of its TaskRuns, where it failed.
    pub children: Box<[Box<str>]>,
    outcome: Outcome,
    generation: i64,
    attempt: u32,
    tries: u32,
    upstream: Box<str>,
    retry: Option<Box<str>>,
    reason: Box<str>,
    message: Box<str>,
    is_cancelled: bool,
    start: Option<Timestamp>,
    completion: Option<Timestamp>,
    results: ByName<Box<str>>,
    has_volume: bool,
    has_kept_pod: bool,
}

impl Kept<Run> {
    /// What plans look at; without its tasks.
    pub fn observed(&self) -> observed::Run {
        let run = &self.kept;
        observed::Run {
            namespace: self.place.namespace.clone(),
            name: self.place.name.clone(),
            generation: run.generation,
            attempt: run.attempt,
            tries: run.tries,
            upstream: run.upstream.to_string(),
            retry: run.retry.as_deref().map(str::to_owned),
            outcome: run.outcome,
            reason: run.reason.to_string(),
            message: run.message.to_string(),
            is_cancelled: run.is_cancelled,
            start: run.start,
            completion: run.completion,
            tasks: Vec::new(),
            results: run.results.map(ToString::to_string),
            has_volume: run.has_volume,
            has_kept_pod: run.has_kept_pod,
        }
    }
}

impl Kind for Run {
    const GROUP: &'static str = "tekton.dev";
    const KIND: &'static str = "PipelineRun";
    const PLURAL: &'static str = "pipelineruns";
    const SELECTOR: &'static str = UID;

    fn read(object: &Value) -> Self {
        let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
        let (labels, annotations) = (&metadata["labels"], &metadata["annotations"]);
        let (outcome, reason, message) = succeeded(status);
        let workspaces = || spec["workspaces"].as_array().into_iter().flatten();
        let has_template = workspaces().any(|workspace| !workspace["volumeClaimTemplate"].is_null());
        let number = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        let time = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        // Of any other run nobody asks why it stands as it does.
        let (reason, message) = if outcome == Outcome::False {
            (reason, message)
        } else {
            Default::default()
        };
        let children = status["childReferences"].as_array().into_iter().flatten();
        Self {
            of: boxed(&labels[UID]),
            of_namespace: boxed(&labels[NAMESPACE]),
            build_type: BuildType::ALL
                .into_iter()
                .find(|build_type| spec["pipelineRef"]["name"] == contract::of(*build_type).name),
            is_terminating: !metadata["deletionTimestamp"].is_null(),
            secret: workspaces()
                .find(|workspace| workspace["name"] == workspaces::DOCKER_CONFIG)
                .and_then(|workspace| boxed(&workspace["secret"]["secretName"])),
            children: children
                .filter(|child| outcome == Outcome::False && child["kind"] == "TaskRun")
                .filter_map(|child| boxed(&child["name"]))
                .collect(),
            outcome,
            generation: labels[GENERATION]
                .as_str()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0),
            attempt: number(&labels[ATTEMPT]).unwrap_or(0),
            tries: number(&annotations[TRIES]).unwrap_or(1),
            upstream: boxed(&annotations[UPSTREAM]).unwrap_or_default(),
            retry: boxed(&annotations[RETRY]),
            reason: reason.into(),
            message: message.into(),
            is_cancelled: matches!(
                spec["status"].as_str(),
                Some("Cancelled" | "CancelledRunFinally" | "StoppedRunFinally")
            ),
            start: time(&status["startTime"]),
            completion: time(&status["completionTime"]),
            results: match outcome {
                Outcome::True => read_results(&status["results"], &RESULTS).map(|value| value.as_str().into()),
                _ => ByName::default(),
            },
            has_volume: has_template && annotations[VOLUME_DELETED].is_null(),
            has_kept_pod: annotations[VOLUME_DELETED] == POD_KEPT,
        }
    }

    fn group(&self, _: &Place) -> Option<String> {
        // Without these labels nobody can say which run it is.
        let is_told = self.generation > 0 && self.attempt > 0;
        self.of.as_deref().filter(|_| is_told).map(str::to_owned)
    }

    fn is_active(&self) -> bool {
        self.outcome == Outcome::Unknown
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::watch::projections::Watched;

    #[test]
    fn what_plans_look_at_is_read() {
        let run: Watched<Run> = serde_json::from_value(json!({
            "metadata": {
                "name": "r", "namespace": "builds", "uid": "7", "resourceVersion": "3", "managedFields": [{}],
                "labels": {"meteor.zone/uid": "u", "meteor.zone/namespace": "a", "meteor.zone/generation": "2",
                    "meteor.zone/attempt": "3"},
                "annotations": {"meteor.zone/owned-by": "a/x", "meteor.zone/tries": "2", "meteor.zone/retry": "now"},
            },
            "spec": {"status": "Cancelled", "pipelineRef": {"name": contract::of(BuildType::PackageList).name}, "params": [{"name": "x", "value": "y"}], "workspaces": [
                {"name": "dockerconfig", "secret": {"secretName": "r-pull"}},
                {"name": "work", "volumeClaimTemplate": {}},
            ]},
            "status": {
                "conditions": [{"type": "Succeeded", "status": "False", "reason": "Failed", "message": "m"}],
                "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:01:00Z",
                "childReferences": [{"kind": "TaskRun", "name": "r-setup"}, {"kind": "CustomRun", "name": "c"}],
                "results": [{"name": "digest", "value": "sha256:1"}],
            },
        }))
        .unwrap();
        let run = run.into_kept();
        assert_eq!(run.owner, Some(Place::new("a", "x")));
        let kept = &run.kept;
        assert_eq!(kept.build_type, Some(BuildType::PackageList));
        assert_eq!(kept.group(&run.place).as_deref(), Some("u"));
        assert_eq!(
            (kept.secret.as_deref(), &*kept.children),
            (Some("r-pull"), &["r-setup".into()][..])
        );
        let run = run.observed();
        assert_eq!((run.generation, run.attempt, run.tries), (2, 3, 2));
        assert_eq!(
            (run.retry.as_deref(), run.outcome, run.reason.as_str()),
            (Some("now"), Outcome::False, "Failed")
        );
        assert!(run.is_cancelled && run.has_volume && run.results.names().count() == 0);
        assert!(run.start.is_some() && run.completion > run.start);
    }
}
