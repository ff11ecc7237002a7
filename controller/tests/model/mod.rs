//! A model of a cluster for plans: read from YAML, changed by actions and by random events.

use std::collections::BTreeMap;

use cnbi_controller::plan::action::{Action, Plan};
use cnbi_controller::plan::observed::{
    ImageStreamState, ObservedState, Prerequisites, QueuePosition, Rejection, RejectionKind, Run, RunState, SecretCopy,
    Tag, TaskRun, UpstreamDigest,
};
use cnbi_controller::plan::request::{Display, Request};
use cnbi_shared::admission_input::AdmissionInput;
use cnbi_shared::api::annotations::{CREATOR, DESCRIPTION, DISPLAY_NAME};
use cnbi_shared::api::{CustomNBImage, Status, UnvalidatedImage};
use cnbi_shared::config::Config;
use cnbi_shared::facts::{Fact, Facts, Lookup, LookupResult, PullSecret};
use cnbi_shared::rules::{evaluate, validate};
use jiff::Timestamp;
use serde_json::{Value, json};

/// A digest that tasks report.
pub const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The state of a case. Defaults: an import, generation 1, all prerequisites installed, no run.
pub fn observed(case: &Value, config: &Config) -> ObservedState {
    let annotations = case.get("annotations").cloned().unwrap_or(json!({}));
    let mut all = json!({ DISPLAY_NAME: "Example", DESCRIPTION: "For tests", CREATOR: "alice" });
    for (key, value) in annotations.as_object().unwrap() {
        all[key] = value.clone();
    }
    let default = json!({"buildType": "ImageImport", "fromImage": "quay.io/a/b:v1", "targetNamespace": "opendatahub"});
    let resource: CustomNBImage = serde_json::from_value(json!({
        "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
        "metadata": {"name": "example", "namespace": "team-a", "annotations": all},
        "spec": case.get("spec").unwrap_or(&default),
    }))
    .unwrap();
    let draft = UnvalidatedImage::from(&resource);
    let facts = Facts::none().with(Lookup::Configuration, LookupResult::Yes);
    let report = evaluate(&AdmissionInput::create(&draft), &facts, config);
    let request = validate(resource, config)
        .ok()
        .map(|accepted| Request::of(&accepted).expect("accepted"));
    let list = |key: &str| case.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let number = |key: &str| u32::try_from(case["queue"][key].as_u64().unwrap_or(0)).unwrap();
    let missing = list("missing");
    let has = |what: &str| !missing.iter().any(|missing| missing == what);
    let secret = match case.get("secret") {
        None => Fact::Unknown,
        Some(Value::String(text)) if text == "absent" => Fact::Absent,
        Some(Value::String(text)) if text == "wrong type" => Fact::Known(PullSecret::WrongType),
        Some(Value::String(_)) => Fact::Known(PullSecret::Unreadable),
        Some(object) => Fact::Known(PullSecret::Registries(
            serde_json::from_value(object["registries"].clone()).unwrap(),
        )),
    };
    ObservedState {
        namespace: "team-a".into(),
        name: "example".into(),
        uid: "1".into(),
        generation: case["generation"].as_i64().unwrap_or(1),
        deleted: time(case.get("deleted")),
        has_finalizer: case["finalizer"].as_bool().unwrap_or(true),
        retry: text(case.get("retry")),
        request,
        report,
        status: case.get("status").map(|status| match status.as_str() {
            Some(_) => ready(),
            None => serde_json::from_value(status.clone()).unwrap(),
        }),
        runs: list("runs").iter().map(run).collect(),
        stream: stream(case.get("stream")),
        secret_version: matches!(secret, Fact::Known(_)).then(|| "7".to_owned()),
        secret,
        copies: list("copies")
            .iter()
            .map(|copy| SecretCopy {
                namespace: text(copy.get("namespace")).unwrap(),
                name: text(copy.get("name")).unwrap(),
                version: text(copy.get("version")),
            })
            .collect(),
        prerequisites: Prerequisites {
            api: has("tekton"),
            namespace: has("namespace"),
            pipeline: has("pipeline"),
            accounts: has("accounts"),
            constraints: case["constraints"].as_bool().unwrap_or(false),
        },
        missing_input: text(case.get("missingInput")),
        queue: QueuePosition {
            running: number("running"),
            running_in_namespace: number("runningInNamespace"),
            ahead: number("ahead"),
            ahead_in_namespace: number("aheadInNamespace"),
        },
        upstream: case.get("upstream").map(|upstream| UpstreamDigest {
            digest: digest(text(upstream.get("digest"))).unwrap(),
            at: time(upstream.get("at")).unwrap_or("2026-03-01T11:59:30Z".parse().unwrap()),
        }),
        rejection: case.get("refusal").map(|rejection| Rejection {
            run: text(rejection.get("run")).unwrap(),
            kind: match rejection["kind"].as_str() {
                Some("quota") => RejectionKind::Quota,
                Some("invalid") => RejectionKind::Invalid,
                _ => RejectionKind::Other,
            },
            at: time(rejection.get("at")).unwrap(),
            times: 1,
            retry: text(rejection.get("retry")),
            message: "no".into(),
        }),
    }
}

/// The status `ready`: Ready for an hour, published by `run-1`.
fn ready() -> Status {
    let said = |condition: &str, reason: &str| {
        json!({
            "type": condition, "status": "True", "reason": reason, "message": "", "observedGeneration": 1,
            "lastTransitionTime": "2026-03-01T11:00:00Z",
        })
    };
    let status = json!({
        "observedGeneration": 1, "phase": "Ready", "pipelineRun": {"name": "run-1", "attempt": 1},
        "image": {"reference": format!("quay.io/a/b@{DIGEST}"), "digest": DIGEST, "tag": "v1"},
        "conditions": [said("Ready", "ImageReady"), said("ImageStreamUpdated", "TagUpdated")],
    });
    serde_json::from_value(status).unwrap()
}

/// Cases abbreviate a digest to one digit; `0` is [`DIGEST`].
fn digest(text: Option<String>) -> Option<String> {
    text.map(|text| match text.as_str() {
        "0" => DIGEST.to_owned(),
        digit if digit.len() == 1 => format!("sha256:{}", digit.repeat(64)),
        other => other.to_owned(),
    })
}

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::to_owned)
}

fn time(value: Option<&Value>) -> Option<Timestamp> {
    text(value).map(|text| text.parse().unwrap())
}

fn run_state_of(value: &Value) -> RunState {
    match value.as_bool() {
        Some(true) => RunState::Succeeded,
        Some(false) => RunState::Failed,
        None => RunState::Running,
    }
}

fn texts(value: Option<&Value>) -> BTreeMap<String, String> {
    value
        .map(|value| serde_json::from_value(value.clone()).unwrap())
        .unwrap_or_default()
}

fn run(value: &Value) -> Run {
    let number = |key: &str| u32::try_from(value[key].as_u64().unwrap_or(1)).unwrap();
    let run_state = run_state_of(&value["succeeded"]);
    let mut results = texts(value.get("results"));
    if run_state == RunState::Succeeded && value.get("results").is_none() {
        let digest = digest(text(value.get("upstream"))).unwrap_or(DIGEST.into());
        results.insert("reference".into(), format!("quay.io/a/b@{digest}"));
        results.insert("digest".into(), digest);
    }
    let task = |value: &Value| TaskRun {
        task: text(value.get("task")).unwrap(),
        state: run_state_of(&value["succeeded"]),
        reason: text(value.get("reason")).unwrap_or_default(),
        message: text(value.get("message")).unwrap_or_default(),
        pod: text(value.get("pod")),
        failed_step: text(value.get("step")),
        results: texts(value.get("results")).into_iter().collect(),
    };
    Run {
        namespace: text(value.get("namespace")).unwrap_or("cnbi-builds".into()),
        name: text(value.get("name")).unwrap_or("run-1".into()),
        generation: value["generation"].as_i64().unwrap_or(1),
        attempt: number("attempt"),
        tries: number("tries"),
        upstream: digest(text(value.get("upstream"))).unwrap_or_default(),
        retry: text(value.get("retry")),
        state: run_state,
        reason: text(value.get("reason")).unwrap_or_default(),
        message: String::new(),
        is_cancelled: value["cancelled"].as_bool().unwrap_or(false),
        start: time(value.get("start")),
        completion: time(value.get("end")),
        tasks: value["tasks"].as_array().into_iter().flatten().map(task).collect(),
        results: results.into_iter().collect(),
        has_volume: value["volume"].as_bool().unwrap_or(false),
        has_kept_pod: value["keptPod"].as_bool().unwrap_or(false),
    }
}

fn display(name: &str) -> Display {
    Display {
        name: Some(name.into()),
        description: Some("For tests".into()),
        creator: Some("alice".into()),
    }
}

fn stream(value: Option<&Value>) -> ImageStreamState {
    match value {
        None => ImageStreamState::Absent,
        Some(Value::String(text)) => match text.as_str() {
            "unknown" => ImageStreamState::Unknown,
            "no api" => ImageStreamState::ApiMissing,
            "foreign" => ImageStreamState::Foreign,
            other => panic!("{other}"),
        },
        Some(object) => ImageStreamState::Owned {
            uid: "s1".into(),
            display: display(object["name"].as_str().unwrap_or("Example")),
            tags: object["tags"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, tag)| {
                    let failure = tag.as_str().filter(|tag| !["usable", "importing"].contains(tag));
                    let tag = Tag {
                        is_usable: tag == "usable",
                        failure: failure.map(|reason| (reason.to_owned(), "the registry says so".to_owned())),
                    };
                    (name.clone(), tag)
                })
                .collect(),
        },
    }
}

/// Applies a plan.
pub fn apply(observed: &mut ObservedState, plan: &Plan) {
    for action in &plan.actions {
        match action {
            Action::AddFinalizer => observed.has_finalizer = true,
            Action::RemoveFinalizer => observed.has_finalizer = false,
            Action::CopySecret { to, .. } => {
                observed.copies.retain(|copy| copy.name != to.name);
                observed.copies.push(SecretCopy {
                    namespace: to.namespace.clone(),
                    name: to.name.clone(),
                    version: observed.secret_version.clone(),
                });
            }
            Action::DeleteSecret(key) => observed.copies.retain(|copy| copy.name != key.name),
            Action::CreateRun { key, manifest } => {
                let metadata = &manifest["metadata"];
                let number = |value: &Value| value.as_str().unwrap().parse().unwrap();
                observed.runs.push(Run {
                    namespace: key.namespace.clone(),
                    name: key.name.clone(),
                    generation: observed.generation,
                    attempt: number(&metadata["labels"]["meteor.zone/attempt"]),
                    tries: number(&metadata["annotations"]["meteor.zone/tries"]),
                    upstream: text(metadata["annotations"].get("meteor.zone/upstream-digest")).unwrap_or_default(),
                    retry: text(metadata["annotations"].get("meteor.zone/retry")),
                    has_volume: true,
                    ..Run::default()
                });
            }
            Action::CancelRun(key) => {
                observed
                    .runs
                    .iter_mut()
                    .filter(|run| run.name == key.name)
                    .for_each(|run| run.is_cancelled = true);
            }
            Action::DeleteRun(key) => observed.runs.retain(|run| run.name != key.name),
            Action::DeleteVolume { key, keep } => {
                for run in observed.runs.iter_mut().filter(|run| run.name == key.name) {
                    run.has_volume = false;
                    run.has_kept_pod = keep.is_some();
                }
            }
            Action::PatchStreamAnnotations { annotations, .. } => {
                if let ImageStreamState::Owned { display, .. } = &mut observed.stream {
                    for (key, value) in annotations {
                        match key.as_str() {
                            DISPLAY_NAME => display.name.clone_from(value),
                            DESCRIPTION => display.description.clone_from(value),
                            _ => display.creator.clone_from(value),
                        }
                    }
                }
            }
            Action::DeleteStream { .. } => observed.stream = ImageStreamState::Absent,
            Action::Event { .. } => {}
        }
    }
    if let Some(status) = &plan.status {
        // Without fractions of a second, like a response of the API server.
        observed.status = Some(serde_json::from_value(serde_json::to_value(status).unwrap()).unwrap());
    }
}

/// Pseudo-random numbers (SplitMix64).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) % u64::from(limit)).unwrap_or_default()
    }
}

/// One random event.
pub fn happen(observed: &mut ObservedState, chance: &mut Chance, time: Timestamp) {
    const REASONS: [&str; 6] = [
        "Failed",
        "Cancelled",
        "PipelineRunTimeout",
        "CouldntGetTask",
        "SomethingNew",
        "CreateRunFailed",
    ];
    for run in observed
        .runs
        .iter_mut()
        .filter(|run| run.is_cancelled && !run.has_ended())
    {
        run.state = RunState::Failed;
        run.reason = "Cancelled".into();
        run.completion = Some(time);
    }
    let active = observed.runs.iter().position(|run| !run.has_ended());
    if chance.below(4) == 0 {
        let digest = digest(Some(chance.below(4).to_string())).unwrap_or_default();
        observed.upstream = Some(UpstreamDigest { digest, at: time });
    }
    match (chance.below(10), active) {
        (0..=2, Some(index)) => {
            let run = &mut observed.runs[index];
            run.state = RunState::Failed;
            run.reason = REASONS[chance.below(6) as usize].into();
            run.completion = Some(time);
        }
        (3..=4, Some(index)) => {
            let run = &mut observed.runs[index];
            run.state = RunState::Succeeded;
            run.completion = Some(time);
            let digest = if run.upstream.is_empty() { DIGEST } else { &run.upstream };
            run.results = [("digest".to_owned(), digest.to_owned())].into_iter().collect();
            let tag = Tag {
                is_usable: chance.below(4) > 0,
                failure: None,
            };
            observed.stream = ImageStreamState::Owned {
                uid: "s1".into(),
                display: display("Example"),
                tags: [("v1".to_owned(), tag)].into_iter().collect(),
            };
        }
        (5, _) if !observed.runs.is_empty() => {
            let index = chance.below(u32::try_from(observed.runs.len()).unwrap()) as usize;
            observed.runs.remove(index);
        }
        (6, _) => observed.generation += 1,
        (7, _) => observed.retry = Some(chance.below(1000).to_string()),
        (8, _) => observed.stream = ImageStreamState::Absent,
        (9, _) => observed.prerequisites.pipeline = !observed.prerequisites.pipeline,
        _ => {}
    }
}
