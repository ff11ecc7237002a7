//! Properties of the table of rules: ids, pages, and the expected results of the examples.

use std::collections::BTreeSet;

use cnbi_shared::rules::RULES;
use cnbi_shared::rules::examples::{Example, resolve};

#[test]
fn ids_and_slugs_are_unique_and_in_order() {
    let ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    assert_eq!(
        RULES.iter().map(|rule| rule.slug).collect::<BTreeSet<_>>().len(),
        ids.len()
    );
    for id in ids {
        assert!(
            id.len() == 6 && id.starts_with("CNB") && id[3..].bytes().all(|byte| byte.is_ascii_digit()),
            "{id}"
        );
    }
}

#[test]
fn every_example_has_the_expected_result() {
    let mut failures = Vec::new();
    for example in Example::all().unwrap() {
        let report = example.judge().unwrap();
        let outcome = Example::outcome(&report);
        if outcome != example.expected {
            failures.push(format!(
                "{}\n  expected {:?}\n  got      {:?}",
                example.title(),
                example.expected,
                outcome
            ));
        }
        for finding in &report.findings {
            let path = finding.path.to_string();
            if finding.value.is_some() && resolve(&example.resource, &path).is_none() {
                failures.push(format!("{}: {path} does not exist", example.title()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_rule_has_a_passing_and_a_failing_example() {
    for rule in RULES {
        let examples = Example::of(rule).unwrap();
        let names_the_rule = |example: &&Example| {
            example
                .expected
                .iter()
                .any(|expected| expected.rule == rule.id && expected.verdict != "not checked")
        };
        assert!(
            examples.iter().any(|example| names_the_rule(&example)),
            "{} has no example that breaks it",
            rule.id
        );
        assert!(
            examples.iter().any(|example| !names_the_rule(&example)),
            "{} has no example that keeps it",
            rule.id
        );
    }
}

#[test]
fn the_shipped_configuration_is_valid() {
    assert_eq!(
        cnbi_shared::config::Config::shipped().target_namespace.default,
        "opendatahub"
    );
}
