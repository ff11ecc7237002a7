//! What strangers write: every field takes hostile text, none of it makes the rules stumble, pass what the grammars
//! forbid, take long, or repeat what must not be repeated.

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

/// Stands in every secret below and must stand in nothing that is said.
const SECRET: &str = "hunter2";

/// Far more than any case needs, even unoptimized on a busy machine, and far less than work that grows with the square.
const BRIEF: Duration = Duration::from_secs(5);

fn facts() -> Facts {
    Facts::none()
        .with(Lookup::Configuration, LookupResult::Yes)
        .with(Lookup::Requester, LookupResult::Yes)
}

fn draft(resource: &Value) -> UnvalidatedImage {
    serde_json::from_value(resource.clone()).unwrap()
}

/// Judges a resource as new and as a change of another, and checks what every report has to keep.
fn judge(resource: &Value) -> Report {
    let config = Config::shipped();
    let object = draft(resource);
    let keys = unknown_keys(resource);
    let subject = AdmissionInput {
        object: &object,
        old: None,
        unknown_keys: &keys,
    };
    let start = Instant::now();
    let report = evaluate(&subject, &facts(), &config);
    let took = start.elapsed();
    assert!(took < BRIEF, "{took:?}");
    check_text(&report);
    for finding in &report.findings {
        let path = finding.path.to_string();
        let leads_somewhere = resolve(resource, &path).is_some();
        assert!(
            leads_somewhere || finding.value.is_none(),
            "{path} leads nowhere, and {finding:?} has a value"
        );
    }
    // The same object with its own past: nothing is new, so nothing is refused.
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

/// All that a report would ever have printed is printable, brief and without a secret.
fn check_text(report: &Report) {
    let mut said: Vec<String> = Vec::new();
    for finding in &report.findings {
        said.extend([
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
        // What is hidden is hidden from logs as well.
        assert!(
            finding.value.is_some() || !format!("{finding:?}").contains(SECRET),
            "{finding:?}"
        );
    }
    for undecided in &report.undecided {
        said.push(undecided.need.to_string());
    }
    for text in said {
        assert!(!text.contains(SECRET), "{text}");
        let unprintable = text.chars().find(|character| {
            character.is_control()
                || matches!(*character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
        });
        assert_eq!(unprintable, None, "{text:?}");
    }
}

/// Text that no image reference, requirement, clone URL, ref or name of a namespace or Secret is.
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

/// Every text field, with a resource in which nothing else is wrong.
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
        // The only parent that the resources above leave out.
        assert_eq!(pointer, "/spec/imagePullSecret/name");
        resource["spec"]["imagePullSecret"] = json!({"name": value});
    }
}

/// Field paths as findings have them.
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
fn the_resources_that_the_cases_start_from_are_accepted() {
    for (pointer, resource) in fields() {
        let report = judge(&resource);
        assert_eq!(report.findings.len(), 0, "{pointer}: {:?}", report.findings);
    }
}

/// Whether the field's own specification forbids the text.
fn is_forbidden(pointer: &str, text: &str) -> bool {
    match pointer {
        // Git allows what a shell would not; a ref is handed on as one argument and never as a line of a shell.
        "/spec/gitRef" => {
            text.is_empty()
                || text.len() > 4 * 255
                || text.starts_with('-')
                || text.contains("..")
                || text
                    .chars()
                    .any(|character| character.is_ascii_control() || " ~^:?*[\\".contains(character))
        }
        // Free text is anything printable; the name and the namespace are the API server's to judge.
        _ => !pointer.starts_with("/metadata"),
    }
}

#[test]
fn hostile_text_is_refused_where_a_grammar_forbids_it_and_harmless_elsewhere() {
    for (pointer, clean) in fields() {
        for text in hostile() {
            let mut resource = clean.clone();
            set(&mut resource, pointer, json!(text));
            let report = judge(&resource);
            if !is_forbidden(pointer, &text) {
                continue;
            }
            let shown: String = text.chars().take(40).collect();
            // The runtime environment is held against the catalog as a whole.
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
fn secrets_are_refused_and_never_repeated() {
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
        let report = judge(&git);
        assert_eq!(report.outcome(), Outcome::Invalid, "{url}");
        assert!(
            report
                .denials()
                .all(|finding| ["CNB005", "CNB302", "CNB303"].contains(&finding.rule.id)),
            "{url}: {:?}",
            report.findings
        );
        git["spec"]["gitRef"] = json!(url);
        judge(&git);
        let mut import = resource(&json!({"buildType": "ImageImport", "fromImage": url}));
        assert_eq!(judge(&import).outcome(), Outcome::Invalid, "{url}");
        import["spec"]["repositoryUrl"] = json!(url);
        judge(&import);
        for package in [
            format!("x @ {url}"),
            url.clone(),
            format!("--index-url {url}"),
            format!("x=={url}"),
        ] {
            let list =
                json!({"buildType": "PackageList", "builderImage": "quay.io/a/b:v1", "packageVersions": [package]});
            judge(&resource(&list));
        }
    }
    for url in [
        format!("{SECRET}@github.com"),
        format!("https://github.com/a/b#{SECRET}"),
    ] {
        let report = judge(&resource(&json!({"buildType": "GitRepository", "repositoryUrl": url})));
        assert!(report.denials().any(|finding| finding.rule.id == "CNB302"), "{url}");
    }
    for image in [
        format!("{SECRET}@quay.io/a/b"),
        format!("{SECRET}@quay.io"),
        format!("user:{SECRET}@quay.io/a/b:v1"),
        format!("user:{SECRET}@quay.io:5000/a/b:v1"),
        format!("docker://user:{SECRET}@quay.io/a/b:v1"),
    ] {
        let report = judge(&resource(&json!({"buildType": "ImageImport", "fromImage": image})));
        assert!(report.denials().any(|finding| finding.rule.id == "CNB102"), "{image}");
    }
    for package in [
        format!("x @ https://user:{SECRET}@pypi.example/x.whl"),
        format!("x @ git+https://{SECRET}@github.com/a/x"),
        format!("x @ http://user:{SECRET}@pypi.example/x.whl"),
        format!("x@https:user:{SECRET}@pypi.example/x.whl"),
    ] {
        let list = json!({"buildType": "PackageList", "builderImage": "quay.io/a/b:v1", "packageVersions": [package, package]});
        let report = judge(&resource(&list));
        let rules: Vec<&str> = report.denials().map(|finding| finding.rule.id).collect();
        assert_eq!(rules, ["CNB205", "CNB204", "CNB205"], "{package}");
    }
}

#[test]
fn long_lists_are_judged_to_their_limit_in_a_moment() {
    let list = |items: Vec<String>| {
        resource(&json!({"buildType": "PackageList", "builderImage": "quay.io/a/b:v1", "packageVersions": items}))
    };
    let report = judge(&list((0..10_000).map(|number| format!("package-{number}=1")).collect()));
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

    // One project with as many cases as fit, none of which meet: where telling them apart costs most.
    let case = |number: usize| {
        let parts: Vec<String> = (0..8)
            .map(|part| format!("(os_name == '{number}' or sys_platform == '{part}')"))
            .collect();
        format!("x; {}", parts.join(" and "))
            .chars()
            .take(512)
            .collect::<String>()
    };
    judge(&list((0..500).map(case).collect()));
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
    judge(&list((0..500).map(heavy).collect()));
    let disjoint = |number: usize| format!("x{}; python_version == '3.{}'", number / 8, number % 8);
    let report = judge(&list((0..500).map(disjoint).collect()));
    assert!(report.findings.iter().all(|finding| finding.rule.id != "CNB204"));

    let specifiers = |number: usize| format!("x{number}{}", ">=1,".repeat(120));
    assert_eq!(judge(&list((0..100).map(specifiers).collect())).findings.len(), 0);
    judge(&resource(
        &json!({"buildType": "PackageList", "packageVersions": vec![Value::Null; 10_000]}),
    ));
}

#[test]
fn a_new_secret_is_not_forgiven_for_an_old_one() {
    let config = Config::shipped();
    let with = |package: &str| {
        draft(&resource(&json!({
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

/// Any JSON, small and odd.
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

/// A resource in which any places hold any JSON.
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
    fn no_resource_makes_the_rules_stumble(resource in any_resource()) {
        let report = judge(&resource);
        for finding in &report.findings {
            let at = finding.path.at.keys();
            let parent = &at[..at.len().saturating_sub(1)];
            // A key is missing below something that is there, or that is missing itself and said to be.
            let found = parent.iter().try_fold(&resource, |value, key| value.get(key));
            let said = || report.findings.iter().any(|other| other.path.at.keys() == parent);
            prop_assert!(found.is_some() || said() || parent.ends_with(&["annotations"]), "{}", finding.path);
        }
    }

    #[test]
    fn any_text_in_any_field_is_judged(place in 0..fields().len(), text in any::<String>()) {
        let (pointer, mut resource) = fields().swap_remove(place);
        set(&mut resource, pointer, json!(text));
        judge(&resource);
    }
}
