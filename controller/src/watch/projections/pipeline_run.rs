//! Projection of a PipelineRun.

use std::collections::BTreeMap;

use cnbi_shared::api::BuildType;
use cnbi_shared::contract::{self, results, workspaces};
use serde_json::Value;

use super::{ProjectedKind, results as read_results, succeeded_condition, text};
use crate::plan::action::NamespacedName;
use crate::plan::manifest::{ATTEMPT, GENERATION, NAMESPACE, POD_KEPT, RETRY, TRIES, UID, UPSTREAM, VOLUME_DELETED};
use crate::plan::observed::{self, RunState};

/// The results that the controller reads.
const RESULTS: [&str; 5] = [
    results::DIGEST,
    results::REFERENCE,
    results::COMMIT,
    results::SOURCE_URL,
    results::LOCK_DIGEST,
];

/// A PipelineRun that carries the label [`UID`].
#[derive(Clone, Debug, Default)]
pub struct PipelineRun {
    /// The uid of the resource that it builds.
    pub owner_uid: Option<String>,
    /// The namespace of that resource.
    pub owner_namespace: Option<String>,
    /// From the name of its Pipeline; `None` for any other Pipeline.
    pub build_type: Option<BuildType>,
    /// Whether it has a deletion timestamp.
    pub is_terminating: bool,
    /// Name of the pull secret that it mounts.
    pub secret: Option<String>,
    /// Names of its TaskRuns. Empty unless it failed.
    pub children: Vec<String>,
    /// What plans read, without its tasks.
    pub run: observed::Run,
}

impl ProjectedKind for PipelineRun {
    const GROUP: &'static str = "tekton.dev";
    const KIND: &'static str = "PipelineRun";
    const PLURAL: &'static str = "pipelineruns";
    const SELECTOR: &'static str = UID;

    fn project(object: &Value) -> Self {
        let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
        let (labels, annotations) = (&metadata["labels"], &metadata["annotations"]);
        let (state, reason, message) = succeeded_condition(status);
        let has_failed = state == RunState::Failed;
        let workspaces = || spec["workspaces"].as_array().into_iter().flatten();
        let has_template = workspaces().any(|workspace| !workspace["volumeClaimTemplate"].is_null());
        let number = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        let time = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        let children = status["childReferences"].as_array().into_iter().flatten();
        Self {
            owner_uid: text(&labels[UID]),
            owner_namespace: text(&labels[NAMESPACE]),
            build_type: BuildType::ALL
                .into_iter()
                .find(|build_type| spec["pipelineRef"]["name"] == contract::pipeline_for(*build_type).name),
            is_terminating: !metadata["deletionTimestamp"].is_null(),
            secret: workspaces()
                .find(|workspace| workspace["name"] == workspaces::DOCKER_CONFIG)
                .and_then(|workspace| text(&workspace["secret"]["secretName"])),
            children: children
                .filter(|child| has_failed && child["kind"] == "TaskRun")
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
                state,
                reason: if has_failed { reason } else { String::new() },
                message: if has_failed { message } else { String::new() },
                is_cancelled: matches!(
                    spec["status"].as_str(),
                    Some("Cancelled" | "CancelledRunFinally" | "StoppedRunFinally")
                ),
                start: time(&status["startTime"]),
                completion: time(&status["completionTime"]),
                tasks: Vec::new(),
                results: match state {
                    RunState::Succeeded => read_results(&status["results"], &RESULTS),
                    _ => BTreeMap::new(),
                },
                has_volume: has_template && annotations[VOLUME_DELETED].is_null(),
                has_kept_pod: annotations[VOLUME_DELETED] == POD_KEPT,
            },
        }
    }

    /// `None` without the labels that identify the run.
    fn index_key(&self, _: &NamespacedName) -> Option<String> {
        let is_identified = self.run.generation > 0 && self.run.attempt > 0;
        self.owner_uid.clone().filter(|_| is_identified)
    }

    fn is_active(&self) -> bool {
        self.run.state == RunState::Running
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::watch::projections::WatchedObject;

    #[test]
    fn the_fields_that_plans_read_are_kept() {
        let run: WatchedObject<PipelineRun> = serde_json::from_value(json!({
            "metadata": {
                "name": "r", "namespace": "builds", "uid": "7", "resourceVersion": "3", "managedFields": [{}],
                "labels": {"meteor.zone/uid": "u", "meteor.zone/namespace": "a", "meteor.zone/generation": "2",
                    "meteor.zone/attempt": "3"},
                "annotations": {"meteor.zone/owned-by": "a/x", "meteor.zone/tries": "2", "meteor.zone/retry": "now"},
            },
            "spec": {"status": "Cancelled", "pipelineRef": {"name": contract::pipeline_for(BuildType::PackageList).name}, "params": [{"name": "x", "value": "y"}], "workspaces": [
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
        let projection = run.into_projection();
        assert_eq!(projection.owner, Some(NamespacedName::new("a", "x")));
        let data = &projection.data;
        assert_eq!(data.build_type, Some(BuildType::PackageList));
        assert_eq!(data.index_key(&projection.key).as_deref(), Some("u"));
        assert_eq!(
            (data.secret.as_deref(), &*data.children),
            (Some("r-pull"), &["r-setup".to_owned()][..])
        );
        let run = &data.run;
        assert_eq!((run.namespace.as_str(), run.name.as_str()), ("builds", "r"));
        assert_eq!((run.generation, run.attempt, run.tries), (2, 3, 2));
        assert_eq!(
            (run.retry.as_deref(), run.state, run.reason.as_str()),
            (Some("now"), RunState::Failed, "Failed")
        );
        assert!(run.is_cancelled && run.has_volume && run.results.is_empty());
        assert!(run.start.is_some() && run.completion > run.start);
    }
}
