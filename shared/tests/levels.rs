//! Properties of all rules: levels, ratcheting, deletion, defaulting. They are checked with the examples of all pages, so a new rule is included
//! automatically.

use cnbi_shared::admission_input::AdmissionInput;
use cnbi_shared::api::{UnvalidatedImage, annotations};
use cnbi_shared::config::Config;
use cnbi_shared::defaults::Defaults;
use cnbi_shared::facts::{Facts, Lookup, LookupResult};
use cnbi_shared::rules::examples::Example;
use cnbi_shared::rules::{RULES, evaluate};
use cnbi_shared::verdict::{Level, Outcome, Report};
use proptest::prelude::*;
use serde_json::{Value, json};

fn unvalidated(value: &Value) -> UnvalidatedImage {
    serde_json::from_value(value.clone()).unwrap()
}

fn known() -> Facts {
    Facts::none()
        .with(Lookup::Configuration, LookupResult::Yes)
        .with(Lookup::Requester, LookupResult::Yes)
}

fn update(old: &Value, new: &Value) -> Report {
    let (old, new) = (unvalidated(old), unvalidated(new));
    evaluate(&AdmissionInput::update(&new, &old), &known(), &Config::shipped())
}

fn examples() -> Vec<Example> {
    let mut all = Example::all().unwrap();
    all.retain(|example| !example.offline);
    all
}

/// Rule id, path and level of each finding, to compare.
fn summarize(report: &Report) -> Vec<(&'static str, String, Level)> {
    let findings = report.findings.iter();
    findings
        .map(|finding| (finding.rule.id, finding.path.to_string(), finding.level))
        .collect()
}

fn packages(items: &[&str]) -> Value {
    json!({
        "metadata": {"name": "a", "namespace": "team-a", "annotations": {
            annotations::DISPLAY_NAME: "a", annotations::DESCRIPTION: "a", annotations::CREATOR: "a",
        }},
        "spec": {
            "buildType": "PackageList",
            "runtimeEnvironment": {"osName": "ubi", "osVersion": "8", "pythonVersion": "3.8"},
            "packageVersions": items,
        },
    })
}

#[test]
fn a_configured_level_limits_all_findings_of_a_rule() {
    let mut seen = 0;
    for rule in RULES.iter().filter(|rule| !rule.is_fixed) {
        for mut example in examples().into_iter().filter(|example| example.rule == rule.id) {
            let config = example.config().unwrap();
            for level in [Level::Off, Level::Warn] {
                let mut config = config.clone();
                config.rules.insert(rule.id.to_owned(), level);
                example.configuration = Some(serde_saphyr::to_string(&config).unwrap());
                let report = example.judge().unwrap();
                let title = example.title();
                let findings: Vec<_> = report.findings.iter().filter(|finding| finding.rule == *rule).collect();
                assert!(
                    findings.iter().all(|finding| finding.level <= level),
                    "{title} at {level}"
                );
                if level == Level::Off {
                    assert!(findings.is_empty(), "{title}");
                    assert!(
                        report.not_checked.iter().all(|not_checked| not_checked.rule != *rule),
                        "{title}"
                    );
                }
                seen += findings.len();
            }
        }
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn a_rule_at_level_deny_rejects_what_it_warned_about() {
    let mut example = Example::of(cnbi_shared::rules::by_id("CNB104").unwrap()).unwrap();
    example.retain(|example| example.expected.iter().any(|expected| expected.rule == "CNB104"));
    let example = &mut example[0];
    assert_eq!(example.judge().unwrap().outcome(), Outcome::Allowed);
    example.configuration = Some("rules: {CNB104: Deny}".to_owned());
    let report = example.judge().unwrap();
    assert!(report.denials().any(|finding| finding.rule.id == "CNB104"));
}

#[test]
fn an_update_of_annotations_is_never_rejected_for_the_stored_spec() {
    for example in examples() {
        let mut old = example.resource.clone();
        old["metadata"]["annotations"] = json!({annotations::DISPLAY_NAME: "a", annotations::CREATOR: "a"});
        let mut new = old.clone();
        new["metadata"]["annotations"][annotations::DESCRIPTION] = json!("said better");
        let report = update(&old, &new);
        assert_eq!(
            report.outcome(),
            Outcome::Allowed,
            "{}: {}",
            example.title(),
            report.summary()
        );
    }
}

#[test]
fn an_irrelevant_update_needs_no_lookups_and_has_no_findings() {
    for example in examples() {
        let mut new = example.resource.clone();
        new["metadata"]["labels"] = json!({"team": "a"});
        let report = update(&example.resource, &new);
        assert!(
            report.findings.is_empty() && report.not_checked.is_empty(),
            "{}",
            example.title()
        );
    }
}

#[test]
fn finalizers_can_always_be_removed() {
    for example in examples() {
        let mut old = example.resource.clone();
        old["metadata"]["deletionTimestamp"] = json!("2024-05-01T12:00:00Z");
        old["metadata"]["finalizers"] = json!(["meteor.zone/x"]);
        let mut new = old.clone();
        new["metadata"]["finalizers"] = json!([]);
        new["metadata"]["annotations"] = json!({annotations::DISPLAY_NAME: "\n"});
        let report = update(&old, &new);
        assert!(
            report.findings.is_empty() && report.not_checked.is_empty(),
            "{}",
            example.title()
        );
    }
}

#[test]
fn a_changed_spec_is_checked_even_during_deletion() {
    let mut old = packages(&["pandas"]);
    old["metadata"]["deletionTimestamp"] = json!("2024-05-01T12:00:00Z");
    let mut new = old.clone();
    new["spec"]["packageVersions"] = json!(["-r x"]);
    let path = "spec.packageVersions[0]".to_owned();
    assert!(summarize(&update(&old, &new)).contains(&("CNB203", path, Level::Deny)));
}

#[test]
fn a_moved_item_is_not_a_new_finding() {
    let report = update(&packages(&["pandas", "-r x"]), &packages(&["-r x"]));
    assert_eq!(
        summarize(&report),
        [("CNB203", "spec.packageVersions[0]".to_owned(), Level::Warn)]
    );
}

#[test]
fn a_repeated_mistake_is_a_new_finding() {
    let report = update(&packages(&["-r x"]), &packages(&["-r x", "-r x"]));
    let levels: Vec<Level> = report
        .findings
        .iter()
        .filter(|finding| finding.rule.id == "CNB203")
        .map(|finding| finding.level)
        .collect();
    assert_eq!(levels, [Level::Warn, Level::Deny]);
}

#[test]
fn a_fixed_rule_rejects_a_changed_field() {
    let changed = |old: &[&str], new: &[&str]| {
        let (mut before, mut after) = (packages(old), packages(new));
        // As if it was stored before the rule existed.
        before["spec"]["buildType"] = json!("ImageImport");
        after["spec"]["buildType"] = json!("ImageImport");
        before["spec"]["targetNamespace"] = json!("opendatahub");
        after["spec"]["targetNamespace"] = json!("opendatahub");
        after["spec"]["fromImage"] = json!("quay.io/a/b:v1");
        summarize(&update(&before, &after))
    };
    let foreign = |level| ("CNB001", "spec.packageVersions".to_owned(), level);
    assert!(changed(&["pandas"], &["pandas"]).contains(&foreign(Level::Warn)));
    assert!(changed(&["pandas"], &["numpy"]).contains(&foreign(Level::Deny)));
    let new_slip = summarize(&update(&packages(&["a=1"]), &packages(&["a=2"])));
    assert_eq!(
        new_slip,
        [("CNB202", "spec.packageVersions[0]".to_owned(), Level::Deny)]
    );
}

#[test]
fn permission_is_checked_for_the_user_who_changes_the_spec() {
    let config = Config::from_yaml("targetNamespace: {default: a, allowed: [{namespace: b, from: ['*']}]}").unwrap();
    let mut old = packages(&["pandas"]);
    old["spec"]["targetNamespace"] = json!("b");
    let mut new = old.clone();
    new["spec"]["packageVersions"] = json!(["numpy"]);
    let facts = known()
        .with(Lookup::Access { namespace: "b".into() }, LookupResult::No)
        .with(Lookup::Namespace { name: "b".into() }, LookupResult::Yes)
        .with(
            Lookup::ImageStream {
                namespace: "b".into(),
                name: "a".into(),
            },
            LookupResult::No,
        );
    let (old, new) = (unvalidated(&old), unvalidated(&new));
    let report = evaluate(&AdmissionInput::update(&new, &old), &facts, &config);
    let access: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| finding.rule.id == "CNB022")
        .collect();
    assert_eq!(
        access.iter().map(|finding| finding.level).collect::<Vec<_>>(),
        [Level::Deny]
    );
}

fn items() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(
        prop::sample::select(vec![
            "pandas",
            "Pandas",
            "pandas==1",
            "boto3>=1",
            "-r x",
            "a=1",
            "a b",
            "",
            "x>2,<1",
            "y @ https://u:p@x.io/y.whl",
            "z\nz",
        ]),
        1..8,
    )
}

proptest! {
    #[test]
    fn removing_items_is_never_rejected((items, kept) in items().prop_flat_map(|items| {
        let count = items.len();
        (Just(items), prop::collection::vec(any::<bool>(), count))
    })) {
        let left: Vec<&str> = items.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(item, _)| *item).collect();
        prop_assume!(!left.is_empty());
        let report = update(&packages(&items), &packages(&left));
        prop_assert_eq!(report.denials().count(), 0, "{}", report.summary());
    }

    #[test]
    fn defaulting_is_idempotent(
        annotations in prop_oneof![
            Just(json!(null)),
            Just(json!({})),
            Just(json!([])),
            Just(json!({annotations::DISPLAY_NAME: "x"})),
            Just(json!({annotations::CREATOR: "", annotations::DESCRIPTION: 1})),
        ],
        name in prop::sample::select(vec![json!("a"), json!(null), json!(1)]),
        target in prop::sample::select(vec![None, Some(json!(null)), Some(json!("")), Some(json!("b"))]),
        default in prop::sample::select(vec!["", "opendatahub"]),
        requester in prop::sample::select(vec![None, Some("alice")]),
        has_old in any::<bool>(),
    ) {
        let config = Config::from_yaml(&format!("targetNamespace: {{default: '{default}'}}")).unwrap();
        let mut object = json!({"metadata": {"namespace": "team-a", "name": name, "annotations": annotations}, "spec": {"buildType": "x"}});
        if let Some(target) = target {
            object["spec"]["targetNamespace"] = target;
        }
        let old = has_old.then(|| unvalidated(&packages(&["pandas"])));
        let mut object = unvalidated(&object);
        let defaults = |object: &UnvalidatedImage| {
            Defaults::of(&AdmissionInput { object, old: old.as_ref(), unknown_keys: &[] }, &config, requester)
        };
        let first = defaults(&object);
        first.apply(&mut object);
        let once = object.clone();
        let second = defaults(&object);
        prop_assert!(second.is_empty(), "{second:?}");
        second.apply(&mut object);
        prop_assert_eq!(object, once);
    }
}
