//! Hostile input: for any text in any field, the rules do not panic, reject what the grammars forbid, take little time, and never repeat a
//! secret.

use std::time::{Duration, Instant};

use cnbi_shared::admission_input::{AdmissionInput, unknown_keys};
use cnbi_shared::api::spec::PullSecretReference;
use cnbi_shared::api::{Field, UnvalidatedImage};
use cnbi_shared::config::Config;
use cnbi_shared::facts::{Facts, Lookup, LookupResult};
use cnbi_shared::rules::evaluate;
use cnbi_shared::rules::examples::{HOSTILE_TEXTS, resolve};
use cnbi_shared::verdict::{Level, Outcome, Report};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Part of every secret below; it must not occur in any output.
const SECRET: &str = "hunter2";

/// Far more than any case needs, even unoptimized on a busy machine, and far less than quadratic work would take.
const TIME_LIMIT: Duration = Duration::from_secs(5);

fn facts() -> Facts {
    Facts::none()
        .with(Lookup::Configuration, LookupResult::Yes)
        .with(Lookup::Requester, LookupResult::Yes)
}

fn unvalidated(resource: &Value) -> UnvalidatedImage {
    serde_json::from_value(resource.clone()).unwrap()
}

/// Evaluates the rules for a create and an update, and checks the invariants of every report.
fn evaluate_all(resource: &Value) -> Report {
    let config = Config::shipped();
    let object = unvalidated(resource);
    let keys = unknown_keys(resource);
    let input = AdmissionInput {
        object: &object,
        old: None,
        unknown_keys: &keys,
    };
    let start = Instant::now();
    let report = evaluate(&input, &facts(), &config);
    let took = start.elapsed();
    assert!(took < TIME_LIMIT, "{took:?}");
    check_text(&report);
    for finding in &report.findings {
        let path = finding.path.to_string();
        let exists = resolve(resource, &path).is_some();
        assert!(
            exists || finding.value.is_none(),
            "{path} does not exist, but {finding:?} has a value"
        );
    }
    // An update of the same object.
    let mut changed = object.clone();
    if let Some(spec) = changed.spec.value() {
        let mut spec = spec.clone();
        spec.image_pull_secret = Field::Set(PullSecretReference::default());
        changed.spec = Field::Set(spec);
    }
    check_text(&evaluate(&AdmissionInput::update(&changed, &object), &facts(), &config));
    check_text(&evaluate(
        &AdmissionInput::create(&object),
        &Facts::none(),
        &Config::default(),
    ));
    report
}

/// Everything that can be printed is printable, short and without a secret.
fn check_text(report: &Report) {
    let mut texts: Vec<String> = Vec::new();
    for finding in &report.findings {
        texts.extend([
            finding.sentence(),
            finding.shown_path(),
            finding.message.clone(),
            finding.hint.clone().unwrap_or_default(),
            finding.replacement.clone().unwrap_or_default(),
            finding
                .value
                .clone()
                .filter(|value| value.contains(SECRET))
                .unwrap_or_default(),
        ]);
        let replacement = finding.replacement.as_deref().unwrap_or_default();
        assert!(
            replacement.len() < 4000,
            "{} characters to write instead",
            replacement.len()
        );
        assert!(finding.sentence().chars().count() < 2500, "{}", finding.sentence());
        // Hidden values are hidden from logs too.
        assert!(
            finding.value.is_some() || !format!("{finding:?}").contains(SECRET),
            "{finding:?}"
        );
    }
    for not_checked in &report.not_checked {
        texts.push(not_checked.lookup.to_string());
    }
    for text in texts {
        assert!(!text.contains(SECRET), "{text}");
        let unprintable = text.chars().find(|character| {
            character.is_control()
                || matches!(*character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
        });
        assert_eq!(unprintable, None, "{text:?}");
    }
}

/// Texts that are not image references, requirements, clone URLs, refs or names.
fn hostile() -> Vec<String> {
    let mut texts: Vec<String> = HOSTILE_TEXTS.map(str::to_owned).to_vec();
    let more = [
        "",
        " ",
        "\\u0000 ",
        "a\r\nb==1\n--extra-index-url https://evil.example",
        "-",
        "\u{1f980}",
        "{{",
        "{{ .Values.x }}",
        "\"quoted\"",
        "a && id",
        "a|id",
        "\u{fffd}",
        "x @ y @ z",
    ];
    texts.extend(more.map(str::to_owned));
    texts.push("a".repeat(1 << 20));
    texts.push("\u{1f980}".repeat(1 << 14));
    texts.push("@sha".repeat(1 << 15));
    texts.push(":@/git@".repeat(1 << 15));
    texts.push("(".repeat(1 << 15));
    texts.push(format!("x; {}", "(".repeat(500)));
    texts.push("\u{e9}\u{301}".repeat(300));
    texts
}

/// Every text field, with an otherwise valid resource.
fn fields() -> Vec<(&'static str, Value)> {
    let import = json!({"buildType": "ImageImport", "fromImage": "quay.io/a/b:v1"});
    let list = json!({
        "buildType": "PackageList",
        "runtimeEnvironment": {"osName": "ubi", "osVersion": "8", "pythonVersion": "3.8"},
        "packageVersions": ["pandas", "x"],
    });
    let built = json!({"buildType": "PackageList", "builderImage": "quay.io/a/b:v1", "packageVersions": ["pandas"]});
    let git = json!({"buildType": "GitRepository", "repositoryUrl": "https://github.com/a/b", "gitRef": "main"});
    [
        ("/spec/buildType", &import),
        ("/spec/fromImage", &import),
        ("/spec/builderImage", &built),
        ("/spec/packageVersions/1", &list),
        ("/spec/runtimeEnvironment/osName", &list),
        ("/spec/runtimeEnvironment/osVersion", &list),
        ("/spec/runtimeEnvironment/pythonVersion", &list),
        ("/spec/repositoryUrl", &git),
        ("/spec/gitRef", &git),
        ("/spec/targetNamespace", &git),
        ("/spec/imagePullSecret/name", &import),
        ("/metadata/name", &import),
        ("/metadata/namespace", &import),
        ("/metadata/annotations/opendatahub.io~1notebook-image-name", &import),
        ("/metadata/annotations/opendatahub.io~1notebook-image-desc", &import),
        ("/metadata/annotations/opendatahub.io~1notebook-image-creator", &import),
    ]
    .map(|(pointer, spec)| (pointer, resource(spec)))
    .to_vec()
}

fn resource(spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["targetNamespace"] = json!("opendatahub");
    json!({
        "apiVersion": "meteor.zone/v1alpha1",
        "kind": "CustomNBImage",
        "metadata": {
            "name": "example",
            "namespace": "team-a",
            "annotations": {
                "opendatahub.io/notebook-image-name": "An example",
                "opendatahub.io/notebook-image-desc": "For the tests.",
                "opendatahub.io/notebook-image-creator": "alice",
            },
        },
        "spec": spec,
    })
}

fn set(resource: &mut Value, pointer: &str, value: Value) {
    if let Some(place) = resource.pointer_mut(pointer) {
        *place = value;
    } else {
        // The only parent that the resources above do not contain.
        assert_eq!(pointer, "/spec/imagePullSecret/name");
        resource["spec"]["imagePullSecret"] = json!({"name": value});
    }
}

/// The field path of a JSON pointer.
fn printed(pointer: &str) -> String {
    let path = pointer
        .trim_start_matches('/')
        .replace('/', ".")
        .replace("packageVersions.1", "packageVersions[1]");
    match path.strip_prefix("metadata.annotations.") {
        Some(key) => format!("metadata.annotations[{}]", key.replace("~1", "/")),
        None => path,
    }
}

#[test]
fn the_base_resources_are_accepted() {
    for (pointer, resource) in fields() {
        let report = evaluate_all(&resource);
        assert_eq!(report.findings.len(), 0, "{pointer}: {:?}", report.findings);
    }
}

/// Whether the specification of the field forbids the text.
fn is_forbidden(pointer: &str, text: &str) -> bool {
    match pointer {
        // Git allows shell characters; a ref is passed as one argument and never through a shell.
        "/spec/gitRef" => {
            text.is_empty()
                || text.len() > 4 * 255
                || text.starts_with('-')
                || text.contains("..")
                || text
                    .chars()
                    .any(|character| character.is_ascii_control() || " ~^:?*[\\".contains(character))
        }
        // Annotations are free text; the API server validates name and namespace.
        _ => !pointer.starts_with("/metadata"),
    }
}

#[test]
fn hostile_text_is_rejected_where_the_grammar_forbids_it() {
    for (pointer, clean) in fields() {
        for text in hostile() {
            let mut resource = clean.clone();
            set(&mut resource, pointer, json!(text));
            let report = evaluate_all(&resource);
            if !is_forbidden(pointer, &text) {
                continue;
            }
            let shown: String = text.chars().take(40).collect();
            // The runtime environment is compared with the catalog as a whole.
            let path = printed(pointer);
            let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
            assert!(
                report
                    .denials()
                    .any(|finding| finding.shown_path() == path || finding.shown_path() == parent),
                "{pointer} {shown:?}: {:?}",
                report.findings
            );
            assert_eq!(report.outcome(), Outcome::Invalid, "{pointer} {shown:?}");
        }
    }
}

#[test]
fn secrets_are_rejected_and_never_repeated() {
    let urls = [
        format!("https://user:{SECRET}@github.com/a/b"),
        format!("https://{SECRET}@github.com/a/b"),
        format!("https://:{SECRET}@github.com/a/b"),
        format!("https://github.com:{SECRET}/a/b"),
        format!("http://user:{SECRET}@github.com/a/b"),
        format!("ftp://user:{SECRET}@github.com/a/b"),
        format!("https://user:{SECRET}%40github.com/a/b"),
        format!("https://user:{SECRET}\u{ff20}github.com/a/b"),
        format!("https:/user:{SECRET}@github.com/a/b"),
        format!("user:{SECRET}@github.com:a/b"),
        format!("https://github.com/a/b?access_token={SECRET}"),
        format!(" https://user:{SECRET}@github.com/a/b"),
        format!("https://user:{SECRET}@github.com/a\nb"),
        format!("-https://user:{SECRET}@github.com/a"),
        format!("https://user:{SECRET}@github.com/{}", "a".repeat(3000)),
    ];
    for url in &urls {
        let mut git = resource(&json!({"buildType": "GitRepository", "repositoryUrl": url}));
        let report = evaluate_all(&git);
        assert_eq!(report.outcome(), Outcome::Invalid, "{url}");
        assert!(
            report
                .denials()
                .all(|finding| ["CNB005", "CNB302", "CNB303"].contains(&finding.rule.id)),
            "{url}: {:?}",
            report.findings
        );
        git["spec"]["gitRef"] = json!(url);
        evaluate_all(&git);
        let mut import = resource(&json!({"buildType": "ImageImport", "fromImage": url}));
        assert_eq!(evaluate_all(&import).outcome(), Outcome::Invalid, "{url}");
        import["spec"]["repositoryUrl"] = json!(url);
        evaluate_all(&import);
        for package in [
            format!("x @ {url}"),
            url.clone(),
            format!("--index-url {url}"),
            format!("x=={url}"),
        ] {
            let list =
                json!({"buildType": "PackageList", "builderImage": "quay.io/a/b:v1", "packageVersions": [package]});
            evaluate_all(&resource(&list));
        }
    }
    for url in [
        format!("{SECRET}@github.com"),
        format!("https://github.com/a/b#{SECRET}"),
    ] {
        let report = evaluate_all(&resource(&json!({"buildType": "GitRepository", "repositoryUrl": url})));
        assert!(report.denials().any(|finding| finding.rule.id == "CNB302"), "{url}");
    }
    for image in [
        format!("{SECRET}@quay.io/a/b"),
        format!("{SECRET}@quay.io"),
        format!("user:{SECRET}@quay.io/a/b:v1"),
        format!("user:{SECRET}@quay.io:5000/a/b:v1"),
        format!("docker://user:{SECRET}@quay.io/a/b:v1"),
    ] {
        let report = evaluate_all(&resource(&json!({"buildType": "ImageImport", "fromImage": image})));
        assert!(report.denials().any(|finding| finding.rule.id == "CNB102"), "{image}");
    }
    for package in [
        format!("x @ https://user:{SECRET}@pypi.example/x.whl"),
        format!("x @ git+https://{SECRET}@github.com/a/x"),
        format!("x @ http://user:{SECRET}@pypi.example/x.whl"),
        format!("x@https:user:{SECRET}@pypi.example/x.whl"),
    ] {
        let list = json!({"buildType": "PackageList", "builderImage": "quay.io/a/b:v1", "packageVersions": [package, package]});
        let report = evaluate_all(&resource(&list));
        let rules: Vec<&str> = report.denials().map(|finding| finding.rule.id).collect();
        assert_eq!(rules, ["CNB205", "CNB204", "CNB205"], "{package}");
    }
}

#[test]
fn long_lists_are_evaluated_quickly() {
    let list = |items: Vec<String>| {
        resource(&json!({"buildType": "PackageList", "builderImage": "quay.io/a/b:v1", "packageVersions": items}))
    };
    let report = evaluate_all(&list((0..10_000).map(|number| format!("package-{number}=1")).collect()));
    let too_many = report
        .findings
        .iter()
        .filter(|finding| finding.rule.id == "CNB005")
        .count();
    assert_eq!(too_many, 1);
    assert_eq!(
        report
            .findings
            .iter()
            .filter(|finding| finding.rule.id == "CNB202")
            .count(),
        500
    );

    // One project with many disjoint markers, the worst case for comparing markers.
    let case = |number: usize| {
        let parts: Vec<String> = (0..8)
            .map(|part| format!("(os_name == '{number}' or sys_platform == '{part}')"))
            .collect();
        format!("x; {}", parts.join(" and "))
            .chars()
            .take(512)
            .collect::<String>()
    };
    evaluate_all(&list((0..500).map(case).collect()));
    let heavy = |number: usize| {
        let parts: Vec<String> = (0..8)
            .map(|part| {
                format!(
                    "python_version=='3.{}' and python_full_version!='3.{part}.{number}'",
                    number % 8
                )
            })
            .collect();
        format!("x{}; {}", number / 8, parts.join(" or "))
    };
    evaluate_all(&list((0..500).map(heavy).collect()));
    let disjoint = |number: usize| format!("x{}; python_version == '3.{}'", number / 8, number % 8);
    let report = evaluate_all(&list((0..500).map(disjoint).collect()));
    assert!(report.findings.iter().all(|finding| finding.rule.id != "CNB204"));

    let specifiers = |number: usize| format!("x{number}{}", ">=1,".repeat(120));
    assert_eq!(
        evaluate_all(&list((0..100).map(specifiers).collect())).findings.len(),
        0
    );
    evaluate_all(&resource(
        &json!({"buildType": "PackageList", "packageVersions": vec![Value::Null; 10_000]}),
    ));
}

#[test]
fn a_new_secret_is_rejected_despite_an_old_one() {
    let config = Config::shipped();
    let with = |package: &str| {
        unvalidated(&resource(&json!({
            "buildType": "PackageList", "builderImage": "quay.io/a/b:v1", "packageVersions": ["pandas", package],
        })))
    };
    let old = with("x @ https://user:old@pypi.example/x.whl");
    let new = with("x @ https://user:new@pypi.example/x.whl");
    let report = evaluate(&AdmissionInput::update(&new, &old), &facts(), &config);
    let levels: Vec<(&str, Level)> = report
        .findings
        .iter()
        .map(|finding| (finding.rule.id, finding.level))
        .collect();
    assert_eq!(levels, [("CNB205", Level::Deny)]);
}

/// Small random JSON.
fn any_json() -> impl Strategy<Value = Value> {
    let texts = prop_oneof![
        any::<String>(),
        "[a-z0-9=<>!~;@:/.\\[\\]() '\"-]{0,40}",
        proptest::sample::select(
            hostile()
                .into_iter()
                .filter(|text| text.len() < 1000)
                .collect::<Vec<_>>()
        ),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        texts.prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec(("[a-zA-Z.]{1,8}", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// A resource with random JSON in random fields.
fn any_resource() -> impl Strategy<Value = Value> {
    let places = fields().len();
    let places = proptest::collection::vec((0..places, any_json()), 0..4);
    let parents = proptest::sample::select(vec![
        "",
        "/metadata",
        "/metadata/annotations",
        "/spec",
        "/spec/runtimeEnvironment",
    ]);
    (
        0..fields().len(),
        places,
        proptest::option::of((parents, "[a-zA-Z]{1,12}", any_json())),
    )
        .prop_map(|(base, places, extra)| {
            let fields = fields();
            let mut resource = fields[base].1.clone();
            for (place, value) in places {
                let pointer = fields[place].0;
                let (parent, key) = pointer.rsplit_once('/').unwrap();
                let key = key.replace("~1", "/");
                match resource.pointer_mut(parent) {
                    Some(Value::Object(parent)) => drop(parent.insert(key, value)),
                    _ => resource["spec"]["packageVersions"] = json!([value, "pandas"]),
                }
            }
            if let Some((parent, key, value)) = extra
                && let Some(Value::Object(parent)) = resource.pointer_mut(parent)
            {
                parent.insert(key, value);
            }
            resource
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn rules_accept_any_resource_without_panic(resource in any_resource()) {
        let report = evaluate_all(&resource);
        for finding in &report.findings {
            let field = finding.path.field.keys();
            let parent = &field[..field.len().saturating_sub(1)];
            // A missing key is below an existing object, or below one that is itself reported.
            let found = parent.iter().try_fold(&resource, |value, key| value.get(key));
            let is_reported = || report.findings.iter().any(|other| other.path.field.keys() == parent);
            prop_assert!(found.is_some() || is_reported() || parent.ends_with(&["annotations"]), "{}", finding.path);
        }
    }

    #[test]
    fn rules_accept_any_text_in_any_field(place in 0..fields().len(), text in any::<String>()) {
        let (pointer, mut resource) = fields().swap_remove(place);
        set(&mut resource, pointer, json!(text));
        evaluate_all(&resource);
    }
}
