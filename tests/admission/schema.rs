//! The schema of the CRD agrees with the rules: an API server without webhook rejects nothing that the fixed rules accept.
//!
//! The schema may accept more than the rules. Each fixed rule is reported by the schema, or `UNSEEN` gives the reason.

use std::collections::{BTreeMap, BTreeSet};

use cnbi_shared::admission_input::AdmissionInput;
use cnbi_shared::api::{UnvalidatedImage, annotations};
use cnbi_shared::config::Config;
use cnbi_shared::defaults::Defaults;
use cnbi_shared::facts::Facts;
use cnbi_shared::rules::examples::{Example, REQUESTER};
use cnbi_shared::rules::{RULES, evaluate};
use cnbi_shared::verdict::Report;
use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::random::{Random, number};
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Error};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::cluster::cluster;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Fixed rules, or single examples of them, that the schema does not reject with the rule's message, and the reason.
const UNSEEN: &[(&str, &str)] = &[
    (
        "CNB000",
        "types and enums are refused in the API server's own words, null is dropped before the schema looks",
    ),
    ("CNB005", "lengths are refused in the API server's own words"),
    (
        "CNB113 example 2",
        "a missing field is refused in the API server's own words",
    ),
    (
        "CNB202",
        "what PEP 508 allows is more than an expression can tell; the schema asks for a letter or a digit",
    ),
    (
        "CNB203 example 2",
        "two names on one line are told apart by the grammar alone",
    ),
    (
        "CNB211",
        "missing and empty parts are refused in the API server's own words",
    ),
];

/// Rules about the same text; the schema may report another one of the group than the rules.
const KIN: &[&[&str]] = &[&["CNB202", "CNB203"], &["CNB302", "CNB303"]];

/// The namespace of the examples in this test, because `rule_examples` has a webhook for their original one.
const EXAMPLES: &str = "schema-examples";

/// A client of the shared control plane, which has the CRD, and no webhook for the namespaces in this file.
async fn installed() -> Result<Client, Box<dyn std::error::Error>> {
    Ok(cluster().await?.client().await?)
}

fn api(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("meteor.zone", "v1alpha1", "CustomNBImage");
    Api::namespaced_with(
        client.clone(),
        namespace,
        &ApiResource::from_gvk_with_plural(&kind, "customnbimages"),
    )
}

async fn namespace(client: &Client, name: &str) -> Outcome {
    let kind = GroupVersionKind::gvk("", "v1", "Namespace");
    let namespaces: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    let object = serde_json::from_value(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))?;
    match namespaces.create(&PostParams::default(), &object).await {
        Ok(_) => Ok(()),
        Err(Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The message with which the API server rejects an object; `None` if it accepts it.
fn refusal(answer: Result<DynamicObject, Error>) -> Result<Option<String>, Error> {
    match answer {
        Ok(_) => Ok(None),
        Err(Error::Api(status)) if matches!(status.code, 400 | 422) => Ok(Some(status.message.clone())),
        Err(error) => Err(error),
    }
}

/// The object as the mutating webhook returns it, with a target namespace.
fn defaulted(object: &Value, old: Option<&Value>, config: &Config) -> Result<Value, serde_json::Error> {
    let draft: UnvalidatedImage = serde_json::from_value(object.clone())?;
    let old: Option<UnvalidatedImage> = old.map(|old| serde_json::from_value(old.clone())).transpose()?;
    let subject = AdmissionInput {
        object: &draft,
        old: old.as_ref(),
        unknown_keys: &[],
    };
    let mut object = object.clone();
    if let Some(target) = Defaults::of(&subject, config, Some(REQUESTER)).target_namespace {
        object["spec"]["targetNamespace"] = json!(target);
    }
    Ok(object)
}

/// The object without null values, which the API server drops.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let set = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(set.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        other => other,
    }
}

fn has_fixed_denial(report: &Report) -> bool {
    report.denials().any(|finding| finding.rule.is_fixed)
}

/// Ids of the fixed rules in a message of the API server (`CNB001: `).
fn rules_in(message: &str) -> BTreeSet<&'static str> {
    let fixed = RULES.iter().filter(|rule| rule.is_fixed);
    fixed
        .map(|rule| rule.id)
        .filter(|id| message.contains(&format!("{id}: ")))
        .collect()
}

/// Result of sending an example to the API server.
enum Told {
    /// `None` if the example is accepted; else the message.
    Answer(Option<String>),
    /// The API server rejects the resource that the example replaces with this message.
    Before(String),
    /// The example is not a Kubernetes object.
    NoObject,
}

async fn hand_over(client: &Client, number: usize, example: &Example) -> Result<Told, Box<dyn std::error::Error>> {
    let config = example.config()?;
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let Some(before) = &example.before else {
        let mut object = defaulted(&example.resource, None, &config)?;
        if object["metadata"].is_object() {
            object["metadata"]["namespace"] = json!(EXAMPLES);
        }
        let Ok(object) = serde_json::from_value(object) else {
            return Ok(Told::NoObject);
        };
        return Ok(Told::Answer(refusal(
            api(client, EXAMPLES).create(&dry_run, &object).await,
        )?));
    };
    // Use a separate namespace, because the replaced resource is stored.
    let own = format!("schema-{number}");
    namespace(client, &own).await?;
    let api = api(client, &own);
    let mut old = defaulted(before, None, &config)?;
    let mut new = defaulted(&example.resource, Some(&old), &config)?;
    for object in [&mut old, &mut new] {
        object["metadata"]["namespace"] = json!(own);
    }
    let is_being_deleted = old["metadata"]["deletionTimestamp"].is_string();
    let mut stored = match api.create(&PostParams::default(), &serde_json::from_value(old)?).await {
        Ok(stored) => stored,
        Err(error) => return Ok(Told::Before(refusal(Err(error))?.unwrap_or_default())),
    };
    let name = stored.metadata.name.clone().unwrap_or_default();
    if is_being_deleted {
        api.delete(&name, &DeleteParams::default()).await?;
        stored = api.get(&name).await?;
        new["metadata"]["deletionTimestamp"] = serde_json::to_value(&stored.metadata)?["deletionTimestamp"].take();
    }
    new["metadata"]["resourceVersion"] = json!(stored.metadata.resource_version);
    Ok(Told::Answer(refusal(
        api.replace(&name, &dry_run, &serde_json::from_value(new)?).await,
    )?))
}

#[tokio::test]
async fn examples_that_the_schema_rejects_are_rejected_by_the_rules() -> Outcome {
    let client = installed().await?;
    namespace(&client, EXAMPLES).await?;
    let mut failures = Vec::new();
    let mut spoken: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, example) in Example::all()?
        .iter()
        .enumerate()
        .filter(|(_, example)| !example.offline)
    {
        let title = example.title();
        let report = example.judge()?;
        let answer = match hand_over(&client, number, example).await? {
            Told::Answer(answer) => answer,
            // The replaced resource was valid under earlier rules only.
            Told::Before(told) => {
                let config = example.config()?;
                let before: UnvalidatedImage = serde_json::from_value(example.before.clone().unwrap_or_default())?;
                if !has_fixed_denial(&evaluate(&AdmissionInput::create(&before), &Facts::none(), &config)) {
                    failures.push(format!("{title}: only the schema rejects the old one: {told}"));
                }
                continue;
            }
            Told::NoObject => continue,
        };
        if let Some(told) = &answer
            && !has_fixed_denial(&report)
        {
            failures.push(format!("{title}: only the schema rejects it: {told}"));
        }
        let told = rules_in(answer.as_deref().unwrap_or_default());
        let said: BTreeSet<_> = report.denials().map(|finding| finding.rule.id).collect();
        let stands_for = |id: &&str| {
            let kin = KIN.iter().find(|kin| kin.contains(id)).copied().unwrap_or_default();
            said.contains(id) || said.contains("CNB001") || kin.iter().any(|id| said.contains(id))
        };
        if !told.iter().all(stands_for) {
            failures.push(format!("{title}: the schema reports {told:?}, the rules {said:?}"));
        }
        let is_of_its_own_rule =
            said.contains(example.rule) && RULES.iter().any(|rule| rule.id == example.rule && rule.is_fixed);
        let is_unseen = UNSEEN
            .iter()
            .any(|&(unseen, _)| unseen == example.rule || unseen == title);
        if is_of_its_own_rule {
            *spoken.entry(example.rule).or_default() += usize::from(told.contains(example.rule));
            if !is_unseen && !told.contains(example.rule) {
                failures.push(format!(
                    "{title}: the schema does not report the rule, but responds {answer:?}"
                ));
            }
            if is_unseen && told.contains(example.rule) && UNSEEN.iter().any(|&(unseen, _)| unseen == title) {
                failures.push(format!("{title}: is in UNSEEN, but the schema reports the rule"));
            }
        }
    }
    for rule in RULES.iter().filter(|rule| rule.is_fixed) {
        let is_unseen = UNSEEN.iter().any(|&(unseen, _)| unseen == rule.id);
        if is_unseen == (spoken.get(rule.id).copied().unwrap_or_default() > 0) {
            failures.push(format!(
                "{}: in UNSEEN: {is_unseen}; numbers of examples for which the schema reports the rule: {spoken:?}",
                rule.id
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// A field's value: mostly valid, often almost valid, sometimes of a wrong length or type.
fn value(good: &'static [&'static str], bad: &'static [&'static str], limit: usize) -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => prop::sample::select(good).prop_map(|text| json!(text)),
        2 => prop::sample::select(bad).prop_map(|text| json!(text)),
        1 => (limit - 1..limit + 2).prop_map(|length| json!("a".repeat(length))),
        1 => "[ -~é\\n]{0,12}".prop_map(|text| json!(text)),
        1 => prop::sample::select(vec![json!(null), json!(3.8), json!(true), json!([]), json!({}), json!("")]),
    ]
}

fn image() -> impl Strategy<Value = Value> {
    value(
        &["quay.io/a/b:v1", "python:3.12", "localhost:5000/a/b:v1"],
        &[
            "docker://quay.io/a:b",
            "quay.io/A/b:v1",
            "a b",
            "-x",
            "quay.io/a/b@sha256:1",
            ":",
            "a//b",
        ],
        512,
    )
}

fn packages() -> impl Strategy<Value = Value> {
    let item = value(
        &["pandas", "boto3>=1.24.0", "x[y]; python_version < '3.9'", "scipy\n"],
        &["-r x", "--index-url https://x.io", "a\nb", "pandas=1", "a b"],
        512,
    );
    prop_oneof![
        6 => prop::collection::vec(item, 0..4).prop_map(Value::from),
        1 => (499..502_usize).prop_map(|count| json!(vec!["pandas"; count])),
        1 => Just(json!("pandas")),
    ]
}

fn environment() -> impl Strategy<Value = Value> {
    let part = || prop::option::weighted(0.9, value(&["ubi", "8", "3.8"], &[" "], 63));
    let whole = (part(), part(), part()).prop_map(|(name, version, python)| {
        object([("osName", name), ("osVersion", version), ("pythonVersion", python)])
    });
    prop_oneof![9 => whole, 1 => Just(json!("ubi"))]
}

fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let set = fields
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(set.collect())
}

fn resource() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec!["a", "a.b", "a--b", "a-b.c-d", "x1"]);
    let build_type = prop_oneof![
        9 => prop::sample::select(vec![json!("ImageImport"), json!("PackageList"), json!("GitRepository")]),
        1 => prop::sample::select(vec![json!("packagelist"), json!(1), json!("")]),
    ];
    let secret = prop_oneof![
        9 => prop::option::weighted(0.9, value(&["a", "a.b-c"], &["a..b", "../x", "A", "a_b"], 253))
            .prop_map(|name| object([("name", name)])),
        1 => Just(json!("a")),
    ];
    let url = value(
        &["https://github.com/a/b", "git@github.com:a/b.git", "ssh://git@x.io/a"],
        &[
            "file:///a",
            "ext::sh -c x",
            "-x",
            "https://u:p@x.io/a",
            "http://x.io/a",
            "/a",
        ],
        2048,
    );
    let git_ref = value(
        &["main", "v1.2", "refs/heads/a"],
        &["-x", "a..b", "a b", "a.lock", "/a", "@{"],
        255,
    );
    let target = value(&["opendatahub", "a", "a-b"], &["A", "a.b", "-a", "a/b"], 63);
    // Fields of the build type are likelier than others, because hardly any resource would be valid otherwise.
    let field = |value: BoxedStrategy<Value>| (prop::bool::weighted(0.9), prop::bool::weighted(0.08), value);
    (
        (names, prop::option::weighted(0.97, build_type), prop::option::weighted(0.2, secret), prop::option::weighted(0.3, target)),
        (field(image().boxed()), field(environment().boxed()), field(image().boxed())),
        (field(packages().boxed()), field(url.boxed()), prop::option::weighted(0.3, git_ref), any::<bool>()),
    )
        .prop_map(|((name, build_type, secret, target), (from, environment, builder), (packages, url, git_ref, on_environment))| {
            let kind = build_type.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
            let pick = |own: bool, (likely, unlikely, value): (bool, bool, Value)| {
                (if own { likely } else { unlikely }).then_some(value)
            };
            let (is_list, is_git) = (kind == "PackageList", kind == "GitRepository");
            let spec = object([
                ("buildType", build_type),
                ("fromImage", pick(kind == "ImageImport", from)),
                ("imagePullSecret", secret),
                ("runtimeEnvironment", pick(is_list && on_environment, environment)),
                ("builderImage", pick(is_list && !on_environment, builder)),
                ("packageVersions", pick(is_list, packages)),
                ("repositoryUrl", pick(is_git, url)),
                ("gitRef", git_ref.filter(|_| is_git)),
                ("targetNamespace", target),
            ]);
            json!({
                "apiVersion": "meteor.zone/v1alpha1",
                "kind": "CustomNBImage",
                "metadata": {"name": name, "namespace": "generated", "annotations": {annotations::DESCRIPTION: "x"}},
                "spec": spec,
            })
        })
}

#[tokio::test]
async fn generated_resources_that_the_schema_rejects_are_rejected_by_the_rules() -> Outcome {
    let client = installed().await?;
    namespace(&client, "generated").await?;
    let api = api(&client, "generated");
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let config = Config::shipped();
    let mut random = Random::new();
    let seed: Vec<u8> = (0..4).flat_map(|_| random.draw().to_le_bytes()).collect();
    let source = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), source);
    let strategy = resource();
    let (mut taken, mut refused, mut failures) = (0, 0, Vec::new());
    for _ in 0..number("CNBI_SCHEMA_RUNS").unwrap_or(600) {
        let object = strategy
            .new_tree(&mut runner)
            .map_err(|reason| reason.to_string())?
            .current();
        let draft: UnvalidatedImage = serde_json::from_value(without_nulls(object.clone()))?;
        let report = evaluate(&AdmissionInput::create(&draft), &Facts::none(), &config);
        match refusal(api.create(&dry_run, &serde_json::from_value(object.clone())?).await)? {
            None => taken += 1,
            Some(told) => {
                refused += 1;
                let said: BTreeSet<_> = report.denials().map(|finding| finding.rule.id).collect();
                if !has_fixed_denial(&report) {
                    failures.push(format!(
                        "{object}\n  the schema reports: {told}\n  the rules report: {said:?}"
                    ));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // The generator must produce both valid and invalid resources.
    assert!(taken > 60 && refused > 60, "{taken} accepted, {refused} rejected");
    Ok(())
}

#[tokio::test]
async fn kubectl_shows_the_status_columns_and_the_rejecting_rule() -> Outcome {
    installed().await?;
    let kubectl = || ControlPlane::shared();
    let apply = |spec: Value| {
        json!({
            "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
            "metadata": {"name": "shown", "namespace": "default"}, "spec": spec,
        })
        .to_string()
    };
    let good = apply(json!({"buildType": "ImageImport", "fromImage": "quay.io/a/b:v1"}));
    kubectl()
        .await?
        .kubectl()
        .args(["apply", "-f", "-"])
        .stdin(good)
        .ok()
        .await?;
    let status = json!({"status": {
        "phase": "Ready", "step": "Success", "image": {"reference": "registry.example/a@sha256:1"},
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "Published", "message": "spawn it",
            "lastTransitionTime": "2024-05-01T12:00:00Z", "observedGeneration": 1,
        }],
    }});
    let patch = [
        "patch",
        "cnbi",
        "shown",
        "--subresource=status",
        "--type=merge",
        "-p",
        &status.to_string(),
    ];
    kubectl().await?.kubectl().args(patch).ok().await?;
    let row = |text: String| -> Vec<Vec<String>> {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
        text.lines().map(words).collect()
    };
    let short = row(kubectl().await?.kubectl().args(["get", "cnbi", "shown"]).ok().await?);
    assert_eq!(short[0], ["NAME", "TYPE", "PHASE", "STEP", "READY", "REASON", "AGE"]);
    assert_eq!(
        short[1][..6],
        ["shown", "ImageImport", "Ready", "Success", "True", "Published"]
    );
    let wide = row(kubectl()
        .await?
        .kubectl()
        .args(["get", "cnbi", "shown", "-o", "wide"])
        .ok()
        .await?);
    assert_eq!(wide[0][6..], ["IMAGE", "MESSAGE", "AGE"]);
    assert_eq!(wide[1][6..9], ["registry.example/a@sha256:1", "spawn", "it"]);

    let moved = apply(json!({"buildType": "GitRepository", "repositoryUrl": "https://u:hunter2@x.io/a"}));
    let answer = kubectl()
        .await?
        .kubectl()
        .args(["apply", "-f", "-"])
        .stdin(moved)
        .run()
        .await?;
    assert!(!answer.success);
    for told in ["spec.buildType", "CNB002: ", "spec.repositoryUrl", "CNB303: "] {
        assert!(answer.stderr.contains(told), "{told}: {}", answer.stderr);
    }
    assert!(!answer.stderr.contains("hunter2"), "{}", answer.stderr);
    Ok(())
}
