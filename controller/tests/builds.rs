//! Golden plans in `builds.txt`, and properties of every plan.
//!
//! A case has a title, YAML and the plan at [`NOW`]. The YAML contains only what differs from the defaults in [`observed`].
//! `UPDATE=1 cargo test -p cnbi-controller` rewrites the plans.

mod model;

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_controller::plan::action::{Action, Plan};
use cnbi_controller::plan::observed::{ImageStreamState, ObservedState, RunState, UpstreamDigest};
use cnbi_controller::plan::plan;
use cnbi_shared::api::Status;
use cnbi_shared::api::status::Phase;
use cnbi_shared::config::Config;
use cnbi_shared::contract::{BuildRequest, Settings};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use model::{apply, observed};

const CASES: &str = include_str!("builds.txt");
const NOW: &str = "2026-03-01T12:00:00Z";

struct Case<'a> {
    title: &'a str,
    yaml: &'a str,
    plan: &'a str,
}

impl Case<'_> {
    fn read(&self) -> (ObservedState, Config) {
        let value: Option<Value> = serde_saphyr::from_str(self.yaml).expect(self.title);
        let value = value.unwrap_or(json!({}));
        let config = match value.get("config") {
            Some(config) => Config::from_yaml(&config.to_string()).expect(self.title),
            None => Config::shipped(),
        };
        (observed(&value, &config), config)
    }
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn cases() -> Vec<Case<'static>> {
    let read = |case: &'static str| {
        let (title, rest) = case.split_once('\n').expect("a title");
        let (yaml, plan) = rest.split_once("-->\n").unwrap_or((rest, ""));
        Case { title, yaml, plan }
    };
    CASES.split("=== ").skip(1).map(read).collect()
}

#[test]
fn plans_match_the_golden_file() {
    let mut text = CASES.split("=== ").next().unwrap_or_default().to_owned();
    for case in cases() {
        let (observed, config) = case.read();
        let plan = plan(&observed, now(), &config).to_string();
        if std::env::var_os("UPDATE").is_none() {
            assert_eq!(plan.trim_end(), case.plan.trim_end(), "{}", case.title);
        }
        write!(text, "=== {}\n{}-->\n{plan}\n", case.title, case.yaml).unwrap();
    }
    let text = text.trim_end().to_owned() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/builds.txt"), text).unwrap();
    } else {
        assert_eq!(text, CASES);
    }
}

/// For every case: after the plan is applied, the next plans become empty.
#[test]
fn plans_converge() {
    for case in cases() {
        let (mut observed, config) = case.read();
        for round in 0.. {
            let plan = plan(&observed, now(), &config);
            if plan.actions.is_empty() && plan.status.is_none() {
                break;
            }
            assert!(round < 4, "{}: {plan}", case.title);
            apply(&mut observed, &plan);
        }
    }
}

#[test]
fn each_condition_appears_once_and_its_time_changes_only_with_its_status() {
    for case in cases() {
        let (observed, config) = case.read();
        let Some(first) = plan(&observed, now(), &config).status else {
            continue;
        };
        let mut types: Vec<_> = first
            .conditions
            .iter()
            .map(|condition| condition.type_.clone())
            .collect();
        types.sort();
        types.dedup();
        assert_eq!(types.len(), first.conditions.len(), "{}", case.title);
        for wanted in ["Ready", "Reconciling", "Stalled", "WellFormed"] {
            assert!(types.iter().any(|named| named == wanted), "{}: {wanted}", case.title);
        }
        let is = |wanted: &str| {
            first
                .conditions
                .iter()
                .any(|said| said.type_ == wanted && said.status == "True")
        };
        let told = [is("Ready"), is("Reconciling"), is("Stalled")];
        // During an update run, the resource is Ready and Reconciling.
        let has_upstream = observed.upstream.is_some() || observed.runs.iter().any(|run| !run.upstream.is_empty());
        let is_updating = told == [true, true, false] && has_upstream;
        let count = told.iter().filter(|is_true| **is_true).count();
        assert!(count == 1 || is_updating, "{}: {told:?}", case.title);
        let mut again = observed.clone();
        again.status = Some(first.clone());
        again.generation += 1;
        let later = now() + SignedDuration::from_hours(1);
        let Some(second) = plan(&again, later, &config).status else {
            continue;
        };
        for said in &second.conditions {
            if let Some(before) = first.conditions.iter().find(|before| before.type_ == said.type_) {
                let is_same = before.status == said.status;
                let has_moved = before.last_transition_time != said.last_transition_time;
                assert_ne!(is_same, has_moved, "{}: {}", case.title, said.type_);
            }
        }
    }
}

/// Random events of Tekton, clocks, users and caches: no run is created twice.
#[test]
fn random_events_never_create_a_run_twice() {
    let tracking = Config::from_yaml("{targetNamespace: {default: opendatahub}, tracking: {interval: 15m}}").unwrap();
    for seed in 0..800_u64 {
        let mut chance = model::Chance::new(seed);
        let config = if seed % 2 == 0 {
            Config::shipped()
        } else {
            tracking.clone()
        };
        let mut observed = observed(&json!({}), &config);
        let mut time = now();
        let mut made: Vec<String> = Vec::new();
        for _ in 0..40 {
            let plan = plan(&observed, time, &config);
            stays_ready(&observed, &plan, seed);
            let creations: Vec<String> = plan
                .actions
                .iter()
                .filter_map(|action| match action {
                    Action::CreateRun { key, .. } => Some(key.name.clone()),
                    _ => None,
                })
                .collect();
            assert!(creations.len() <= 1, "seed {seed}");
            for name in creations {
                assert!(!made.contains(&name), "seed {seed}: {name} again");
                let active = observed.runs.iter().filter(|run| !run.has_ended()).count();
                assert_eq!(active, 0, "seed {seed}: two runs at once");
                made.push(name);
            }
            apply(&mut observed, &plan);
            time += SignedDuration::from_secs(i64::from(chance.below(400)));
            model::happen(&mut observed, &mut chance, time);
        }
        assert!(!made.is_empty());
        observed.deleted = Some(time);
        for _ in 0..20 {
            let plan = plan(&observed, time, &config);
            apply(&mut observed, &plan);
            time += SignedDuration::from_secs(30);
            if !observed.has_finalizer {
                break;
            }
        }
        assert!(!observed.has_finalizer, "seed {seed}: deletion hangs");
        assert_eq!(observed.runs, [], "seed {seed}");
        assert!(
            !matches!(observed.stream, ImageStreamState::Owned { .. }),
            "seed {seed}"
        );
    }
}

/// The value of an encoded parameter.
fn decoded<T: serde::de::DeserializeOwned>(spec: &Value, name: &str) -> T {
    let params = spec["params"].as_array().unwrap();
    let param = params.iter().find(|param| param["name"] == name).unwrap();
    let items = param["value"].as_array().unwrap();
    let text: String = items.iter().map(|item| item.as_str().unwrap()).collect();
    serde_json::from_slice(&STANDARD.decode(text).unwrap()).unwrap()
}

/// Updates of a tracked tag never make a Ready resource not Ready.
fn stays_ready(observed: &ObservedState, plan: &Plan, seed: u64) {
    let Some(before) = &observed.status else { return };
    let is_ready = |status: &Status| {
        let mut said = status
            .conditions
            .iter()
            .filter(|said| said.type_ == "Ready" && said.status == "True");
        said.any(|said| said.observed_generation == Some(observed.generation))
    };
    let is_usable = match &observed.stream {
        ImageStreamState::Owned { tags, .. } => tags.get("v1").is_some_and(|tag| tag.is_usable),
        _ => false,
    };
    let named = before.pipeline_run.as_ref().and_then(|run| run.name.as_deref());
    let run = observed.runs.iter().find(|run| Some(run.name.as_str()) == named);
    let is_for_upstream = run.is_some_and(|run| !run.upstream.is_empty());
    if let Some(after) = &plan.status
        && is_ready(before)
        && is_usable
        && is_for_upstream
    {
        assert!(is_ready(after), "seed {seed}: {plan}");
        assert_eq!(after.phase, Some(Phase::Ready), "seed {seed}");
    }
}

/// A run that mounts a missing Secret would wait until its timeout.
#[test]
fn each_mounted_copy_of_a_secret_is_created() {
    let mut bound = 0;
    for case in cases() {
        let (observed, config) = case.read();
        let plan = plan(&observed, now(), &config);
        let copied: Vec<&str> = plan
            .actions
            .iter()
            .filter_map(|action| match action {
                Action::CopySecret { to, .. } => Some(to.name.as_str()),
                _ => None,
            })
            .collect();
        for action in &plan.actions {
            let Action::CreateRun { key, manifest } = action else {
                continue;
            };
            let workspaces = manifest["spec"]["workspaces"].as_array().unwrap();
            for workspace in workspaces
                .iter()
                .filter(|workspace| workspace["name"] == "dockerconfig")
            {
                let secret = workspace["secret"]["secretName"].as_str().unwrap();
                let is_own = key.namespace == observed.namespace;
                assert!(is_own || copied.contains(&secret), "{}: {secret}", case.title);
                bound += 1;
            }
        }
    }
    assert!(bound >= 3, "only {bound} runs are bound to a pull Secret");
}

/// The security contexts of all pods of the run of a case.
fn security_contexts(yaml: &'static str) -> Vec<Value> {
    let case = Case {
        title: "",
        yaml,
        plan: "",
    };
    let (observed, config) = case.read();
    let plan = plan(&observed, now(), &config);
    let manifest = plan.actions.iter().find_map(|action| match action {
        Action::CreateRun { manifest, .. } => Some(manifest),
        _ => None,
    });
    let spec = &manifest.unwrap()["spec"];
    let tasks = spec["taskRunSpecs"].as_array().unwrap();
    tasks
        .iter()
        .chain([&spec["taskRunTemplate"]])
        .map(|task| task["podTemplate"]["securityContext"].clone())
        .collect()
}

/// New volumes are owned by root, and tasks do not run as root. OpenShift assigns the group itself and rejects others.
#[test]
fn pods_get_an_fs_group_unless_the_cluster_or_the_admin_sets_one() {
    let same = |contexts: Vec<Value>, wanted: &Value| {
        assert!(
            contexts.len() > 2 && contexts.iter().all(|context| context == wanted),
            "{contexts:?}"
        );
    };
    let ours = json!({"fsGroup": 65532, "fsGroupChangePolicy": "OnRootMismatch"});
    same(security_contexts("{}"), &ours);
    same(security_contexts("constraints: true"), &Value::Null);
    let admins = json!({"fsGroup": 7});
    same(
        security_contexts(
            "config: {targetNamespace: {default: opendatahub}, pipelines: {podTemplate: {securityContext: {fsGroup: 7}}}}",
        ),
        &admins,
    );
}

/// A tag that alternates between failing digests gets one run for each.
#[test]
fn a_failed_digest_is_not_retried() {
    let config = Config::from_yaml("{targetNamespace: {default: opendatahub}, tracking: {interval: 15m}}").unwrap();
    let case = json!({
        "status": "ready", "stream": {"tags": {"v1": "usable"}},
        "runs": [{"succeeded": true, "end": "2026-03-01T11:00:00Z"}],
    });
    let mut observed = observed(&case, &config);
    let mut time = now();
    let mut made = Vec::new();
    for round in 0..40 {
        let digest = format!("sha256:{}", ["a", "b", "c"][round % 3].repeat(64));
        observed.upstream = Some(UpstreamDigest {
            digest: digest.clone(),
            at: time,
        });
        for _ in 0..3 {
            let plan = plan(&observed, time, &config);
            if let Some(Action::CreateRun { manifest, .. }) = plan.actions.first() {
                let asked: BuildRequest = decoded(&manifest["spec"], "request");
                assert_eq!(asked.from_image, Some(format!("quay.io/a/b:v1@{digest}")));
            }
            apply(&mut observed, &plan);
        }
        for run in observed.runs.iter_mut().filter(|run| !run.has_ended()) {
            made.push(run.upstream.clone());
            run.state = RunState::Failed;
            run.reason = "Cancelled".into();
            run.completion = Some(time);
        }
        time += SignedDuration::from_secs(60);
    }
    made.sort();
    let wanted = ["a", "b", "c"].map(|digit| format!("sha256:{}", digit.repeat(64)));
    assert_eq!(made, wanted);
}

/// The expected `imagePullSecrets` of a task. A built image is pulled with the push secret.
fn pulled_with(task: &str, spec: &Value) -> Vec<Value> {
    let own = match (task, spec["pipelineRef"]["name"].as_str()) {
        ("validate", Some("cnbi-import")) => Some(spec["workspaces"][0]["secret"]["secretName"].clone()),
        ("validate", _) => Some(json!("quay-push")),
        _ => None,
    };
    own.into_iter().chain([json!("mirror")]).collect()
}

/// The manifest for each build type.
#[test]
fn manifests_match_the_pipelines() {
    let config = Config::from_yaml(
        "{targetNamespace: {default: opendatahub}, git: {credentials: [{host: github.com, secret: github}]}, \
          signatures: {policy: Required, keysSecret: keys}, source: {baseUrl: 'https://git.example/cnbi', secret: git-push}, \
          registry: {prefix: quay.io/odh, secret: quay-push}, network: {caConfigMap: ca}, \
          repositories: {builderImage: 'quay.io/odh/base:v1'}, \
          pipelines: {resources: {untrusted: {limits: {memory: 4Gi}}}, workspace: {storageClass: fast}, \
          podTemplate: {nodeSelector: {pool: builds}, imagePullSecrets: [{name: mirror}]}}}",
    )
    .unwrap();
    let hostile = "$(params.x) $(HOME) `id` \"\n---";
    let specs = [
        json!({"buildType": "ImageImport", "fromImage": "quay.io/a/b:v1", "imagePullSecret": {"name": "pull"}}),
        json!({"buildType": "PackageList", "builderImage": "quay.io/a/b:v1", "packageVersions": ["pandas"]}),
        json!({"buildType": "GitRepository", "repositoryUrl": "https://github.com/a/b", "gitRef": "main"}),
    ];
    for spec in specs {
        let mut value = json!({ "spec": null, "secret": {"registries": ["quay.io"]} });
        value["spec"] = spec;
        value["annotations"] = json!({ "opendatahub.io/notebook-image-desc": hostile });
        let observed = observed(&value, &config);
        let pipeline = cnbi_shared::contract::pipeline_for(observed.request.as_ref().unwrap().build_type());
        let plan = plan(&observed, now(), &config);
        let manifest = plan
            .actions
            .iter()
            .find_map(|action| match action {
                Action::CreateRun { manifest, .. } => Some(manifest),
                _ => None,
            })
            .expect("a run");
        let spec = &manifest["spec"];
        assert_eq!(spec["pipelineRef"]["name"], pipeline.name);
        let names = |list: &Value, key: &str| -> Vec<String> {
            let items = list.as_array().unwrap().iter();
            items.map(|item| item[key].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(
            names(&spec["params"], "name"),
            pipeline.params.iter().map(|param| param.name).collect::<Vec<_>>()
        );
        let tasks: Vec<_> = pipeline.all_tasks().map(|task| task.name).collect();
        assert_eq!(names(&spec["taskRunSpecs"], "pipelineTaskName"), tasks);
        // Everything is configured, so all workspaces are bound, except the pull secret that only one spec names.
        let bound = names(&spec["workspaces"], "name");
        let taken = pipeline.workspaces.iter().map(|workspace| workspace.name);
        let has_secret = value["spec"]["imagePullSecret"].is_object();
        assert_eq!(
            bound,
            taken
                .filter(|name| has_secret || *name != "dockerconfig")
                .collect::<Vec<_>>()
        );
        let sources = spec["workspaces"].as_array().unwrap().iter().filter_map(|workspace| {
            let source = workspace["secret"]["secretName"].as_str();
            Some((
                workspace["name"].as_str()?,
                source.or(workspace["configMap"]["name"].as_str())?,
            ))
        });
        for (name, source) in sources {
            let wanted = match name {
                "signature-keys" => "keys",
                "source-credentials" => "git-push",
                "push-credentials" => "quay-push",
                "git-credentials" => "github",
                "ca-bundle" => "ca",
                _ => continue,
            };
            assert_eq!(source, wanted, "{name}");
        }
        let settings: Settings = decoded(spec, "settings");
        assert_eq!(settings, Settings::of(&config));
        let asked: BuildRequest = decoded(spec, "request");
        assert_eq!(asked.description.as_deref(), Some(hostile));
        assert_eq!(asked.from_image.is_some(), pipeline.name == "cnbi-import");
        assert_eq!(asked.package_versions.is_some(), pipeline.name == "cnbi-package-list");
        assert_eq!(asked.git_ref.is_some(), pipeline.name == "cnbi-git-repository");
        for (task, of_run) in pipeline.all_tasks().zip(spec["taskRunSpecs"].as_array().unwrap()) {
            let is_trusted = task.trust == cnbi_shared::contract::Trust::Trusted;
            assert_eq!(of_run["podTemplate"]["automountServiceAccountToken"], is_trusted);
            assert_eq!(of_run["podTemplate"]["nodeSelector"], json!({"pool": "builds"}));
            let secrets = of_run["podTemplate"]["imagePullSecrets"].as_array().unwrap();
            let wanted = pulled_with(task.name, spec);
            let secrets: Vec<_> = secrets.iter().map(|secret| secret["name"].clone()).collect();
            assert_eq!(secrets, wanted, "{of_run}");
            let account = if is_trusted { "cnbi-trusted" } else { "cnbi-untrusted" };
            assert_eq!(of_run["serviceAccountName"], account);
            assert_eq!(of_run["computeResources"]["limits"]["memory"].is_null(), is_trusted);
        }
        let of_all = &spec["taskRunTemplate"]["podTemplate"];
        assert_eq!(of_all["nodeSelector"], json!({"pool": "builds"}));
        assert_eq!(of_all["automountServiceAccountToken"], false);
        assert_eq!(spec["timeouts"]["pipeline"], "1h0m0s");
        // Values from users never appear where Tekton expands variables.
        assert!(!spec.to_string().contains("$("), "{spec}");
        let labels = manifest["metadata"]["labels"].as_object().unwrap();
        assert!(
            labels
                .values()
                .all(|value| value.as_str().is_some_and(|value| value.len() <= 63))
        );
    }
}
