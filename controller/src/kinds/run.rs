//! What is kept of a PipelineRun.

use cnbi_shared::api::BuildType;
use cnbi_shared::contract::{self, results, workspaces};
use serde_json::Value;

use super::{Kind, results as read_results, succeeded, text};
use crate::build::action::Place;
use crate::build::by_name::ByName;
use crate::build::manifest::{ATTEMPT, GENERATION, NAMESPACE, POD_KEPT, RETRY, TRIES, UID, UPSTREAM, VOLUME_DELETED};
use crate::build::observed::{self, Outcome};

/// The results that a run is read for.
const RESULTS: [&str; 5] = [
    results::DIGEST,
    results::REFERENCE,
    results::COMMIT,
    results::SOURCE_URL,
    results::LOCK_DIGEST,
];

/// A PipelineRun of ours.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The uid of the resource that it was made for.
    pub of: Option<String>,
    /// The namespace of that resource.
    pub of_namespace: Option<String>,
    /// What it builds, by its Pipeline. `None`: the Pipeline is none of ours.
    pub build_type: Option<BuildType>,
    /// Whether it is being deleted already.
    pub is_terminating: bool,
    /// The Secret with the credentials for the image to pull.
    pub secret: Option<String>,
    /// Names of its TaskRuns, where it failed.
    pub children: Vec<String>,
    /// What plans look at; without its tasks.
    pub run: observed::Run,
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
        let children = status["childReferences"].as_array().into_iter().flatten();
        Self {
            of: text(&labels[UID]),
            of_namespace: text(&labels[NAMESPACE]),
            build_type: BuildType::ALL
                .into_iter()
                .find(|build_type| spec["pipelineRef"]["name"] == contract::of(*build_type).name),
            is_terminating: !metadata["deletionTimestamp"].is_null(),
            secret: workspaces()
                .find(|workspace| workspace["name"] == workspaces::DOCKER_CONFIG)
                .and_then(|workspace| text(&workspace["secret"]["secretName"])),
            children: children
                .filter(|child| outcome == Outcome::False && child["kind"] == "TaskRun")
                .filter_map(|child| text(&child["name"]))
                .collect(),
            run: observed::Run {
                namespace: text(&metadata["namespace"]).unwrap_or_default(),
                name: text(&metadata["name"]).unwrap_or_default(),
                generation: labels[GENERATION]
                    .as_str()
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(0),
                attempt: number(&labels[ATTEMPT]).unwrap_or(0),
                tries: number(&annotations[TRIES]).unwrap_or(1),
                upstream: text(&annotations[UPSTREAM]).unwrap_or_default(),
                retry: text(&annotations[RETRY]),
                outcome,
                reason,
                message: if outcome == Outcome::False {
                    message
                } else {
                    String::new()
                },
                is_cancelled: matches!(
                    spec["status"].as_str(),
                    Some("Cancelled" | "CancelledRunFinally" | "StoppedRunFinally")
                ),
                start: time(&status["startTime"]),
                completion: time(&status["completionTime"]),
                tasks: Vec::new(),
                results: match outcome {
                    Outcome::True => read_results(&status["results"], &RESULTS),
                    _ => ByName::default(),
                },
                has_volume: has_template && annotations[VOLUME_DELETED].is_null(),
                has_kept_pod: annotations[VOLUME_DELETED] == POD_KEPT,
            },
        }
    }

    fn group(&self, _: &Place) -> Option<String> {
        // Without these labels nobody can say which run it is.
        (self.run.generation > 0 && self.run.attempt > 0)
            .then(|| self.of.clone())
            .flatten()
    }

    fn is_active(&self) -> bool {
        !self.run.has_ended()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::Watched;

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
            (kept.secret.as_deref(), kept.children.as_slice()),
            (Some("r-pull"), &["r-setup".to_owned()][..])
        );
        let run = &kept.run;
        assert_eq!((run.generation, run.attempt, run.tries), (2, 3, 2));
        assert_eq!(
            (run.retry.as_deref(), run.outcome, run.reason.as_str()),
            (Some("now"), Outcome::False, "Failed")
        );
        assert!(run.is_cancelled && run.has_volume && run.results.names().count() == 0);
        assert!(run.start.is_some() && run.completion > run.start);
    }
}
