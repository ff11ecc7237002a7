//! What the controller plans for what it sees, as plain text in `plans.txt`.
//!
//! A case is a title, YAML and the plan. In the YAML stands the stored resource, perhaps after a document that begins with
//! `# configuration`; without one the shipped configuration is in force, with `# no configuration` none. What a case leaves
//! out of a resource is filled in from [`complete`]. `UPDATE=1 cargo test` writes the plans anew.

use std::fmt::Write as _;

use cnbi_controller::observe::Observed;
use cnbi_controller::plan::plan;
use cnbi_controller::stored::Stored;
use cnbi_shared::config::Config;
use cnbi_shared::rules::by_id;
use jiff::Timestamp;
use serde_json::{Value, json};

const CASES: &str = include_str!("plans.txt");
const NOW: &str = "2026-03-01T12:00:00.75Z";

struct Case<'a> {
    title: &'a str,
    yaml: &'a str,
    plan: &'a str,
}

fn cases() -> Vec<Case<'static>> {
    let read = |case: &'static str| {
        let (title, rest) = case.split_once('\n').expect("a title");
        let (yaml, plan) = rest.split_once("--> ").unwrap_or((rest, ""));
        Case { title, yaml, plan }
    };
    CASES.split("=== ").skip(1).map(read).collect()
}

impl Case<'_> {
    fn config(&self) -> Option<Config> {
        if self.yaml.starts_with("# no configuration") {
            return None;
        }
        let configuration = self
            .yaml
            .split("\n---\n")
            .find(|document| document.starts_with("# configuration"));
        Some(configuration.map_or_else(Config::shipped, |yaml| Config::from_yaml(yaml).expect(self.title)))
    }

    fn observed(&self) -> Observed {
        let yaml = self.yaml.split("\n---\n").last().expect("split gives one");
        let value: Option<Value> = serde_saphyr::from_str(yaml).expect(self.title);
        let stored: Stored = serde_json::from_value(complete(value.unwrap_or(json!({})))).expect(self.title);
        Observed::from(&stored)
    }
}

/// Adds what every resource has that went through admission, where the case does not say otherwise.
fn complete(case: Value) -> Value {
    let mut whole = json!({
        "metadata": {
            "name": "example", "namespace": "team-a", "uid": "1", "generation": 1,
            "annotations": {
                "opendatahub.io/notebook-image-name": "Example",
                "opendatahub.io/notebook-image-desc": "For tests",
                "opendatahub.io/notebook-image-creator": "alice",
            },
        },
        "spec": { "buildType": "ImageImport", "fromImage": "quay.io/a/b:v1", "targetNamespace": "opendatahub" },
    });
    merge(&mut whole, case);
    whole
}

/// JSON merge patch (RFC 7396), but for what is no object.
fn merge(whole: &mut Value, case: Value) {
    match (whole, case) {
        (Value::Object(whole), Value::Object(case)) => {
            for (key, value) in case {
                if value.is_null() {
                    whole.remove(&key);
                } else {
                    merge(whole.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (whole, case) => *whole = case,
    }
}

#[test]
fn plans_are_as_written_down() {
    let now: Timestamp = NOW.parse().unwrap();
    let mut text = CASES.split("=== ").next().unwrap_or_default().to_owned();
    for case in cases() {
        let plan = plan(&case.observed(), now, case.config().as_ref());
        write!(text, "=== {}\n{}--> {plan}\n", case.title, case.yaml).unwrap();
    }
    let text = text.trim_end().to_owned() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plans.txt"), text).unwrap();
    } else {
        for (case, line) in cases().iter().zip(text.split("=== ").skip(1)) {
            let plan = line.split_once("--> ").unwrap().1;
            assert_eq!(plan.trim_end(), case.plan.trim_end(), "{}", case.title);
        }
        assert_eq!(text, CASES);
    }
}

#[test]
fn what_was_planned_and_done_needs_nothing_more() {
    let now: Timestamp = NOW.parse().unwrap();
    for case in cases() {
        let config = case.config();
        let mut observed = case.observed();
        if let Some(status) = plan(&observed, now, config.as_ref()).status {
            // As it comes back from the API server: without fractions of a second.
            observed.status = Some(serde_json::from_value(serde_json::to_value(status).unwrap()).unwrap());
        }
        let later = now + jiff::SignedDuration::from_hours(1);
        assert_eq!(plan(&observed, later, config.as_ref()).status, None, "{}", case.title);
    }
}

#[test]
fn a_message_tells_every_denial_and_nothing_that_breaks_a_line() {
    let config = Config::shipped();
    let case = cases()
        .into_iter()
        .find(|case| case.title == "everything wrong at once")
        .expect("the case");
    let status = plan(&case.observed(), Timestamp::UNIX_EPOCH, Some(&config))
        .status
        .unwrap();
    let condition = &status.conditions[0];
    assert!(by_id(&condition.reason).is_some());
    for told in [
        "spec.fromImage: ",
        "[CNB101]",
        "spec.packageVersions: ",
        "[CNB001]",
        "notebook-image-creator]: ",
        "[CNB012]",
    ] {
        assert!(
            condition.message.contains(told),
            "{told} is missing in {}",
            condition.message
        );
    }
    assert!(
        !condition.message.chars().any(char::is_control),
        "{:?}",
        condition.message
    );
}

#[test]
fn others_conditions_are_neither_repeated_nor_needed() {
    let case = cases()
        .into_iter()
        .find(|case| case.title == "somebody else's condition")
        .expect("the case");
    let status = plan(&case.observed(), Timestamp::UNIX_EPOCH, Some(&Config::shipped()))
        .status
        .unwrap();
    assert_eq!(
        status
            .conditions
            .iter()
            .map(|condition| condition.type_.as_str())
            .collect::<Vec<_>>(),
        ["WellFormed"]
    );
}
