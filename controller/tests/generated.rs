//! `docs/metrics.md` says what the controller counts. `UPDATE=1 cargo test -p cnbi-controller --test generated` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use cnbi_controller::failure::Class;
use cnbi_controller::metrics::{Metrics, Outcome, Standing};
use cnbi_shared::api::BuildType;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");

const INTRODUCTION: &str = "\
<!-- Generated from controller/src/metrics; `UPDATE=1 cargo test -p cnbi-controller --test generated` writes it anew. -->
# Metrics

What cnbi-controller serves under `/metrics`, on the port of its probes, in OpenMetrics' text format. No label has the name of
a resource, a namespace, an image or a person as its value, so their number is bounded.

A replica that stands by counts too: its calls for the Lease, and the configurations that it reads. How it stands with
resources, runs and APIs is told only by the one that leads.

| metric | kind | labels | |
|---|---|---|---|
";

/// Everything is counted once: what was never counted is not shown.
fn counted() -> Metrics {
    let metrics = Metrics::default();
    metrics.visited(Outcome::Unchanged);
    metrics.visit_took(Duration::from_secs(1));
    metrics.failed(Class::Gone);
    metrics.watch_failed();
    metrics.configured(true);
    metrics.began_to_lead();
    metrics.asked_registry("answered");
    metrics.run_ended(BuildType::ImageImport, "Success");
    metrics.ready_after(BuildType::ImageImport, Duration::from_secs(1));
    metrics.look_with(|| Some(Standing::default()));
    metrics.called("get", "secrets".to_owned(), 200);
    metrics
}

fn page() -> String {
    let text = counted().text().unwrap();
    let mut about: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            about.entry(name).or_default().1 = help;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            about.entry(name).or_default().0 = kind;
        } else if let Some((name, rest)) = line.split_once('{') {
            let pairs = rest.split_once('}').map_or("", |(pairs, _)| pairs);
            let keys = pairs.split(',').filter_map(|pair| Some(pair.split_once('=')?.0));
            labels.entry(name).or_default().extend(keys.filter(|key| *key != "le"));
        }
    }
    let mut page = INTRODUCTION.to_owned();
    for (name, (kind, help)) in about {
        let suffix = if kind == "counter" { "_total" } else { "" };
        let sample = if kind == "histogram" { "_count" } else { suffix };
        let of_name = labels.get(format!("{name}{sample}").as_str()).into_iter().flatten();
        let of_name: Vec<String> = of_name.map(|label| format!("`{label}`")).collect();
        writeln!(page, "| `{name}{suffix}` | {kind} | {} | {help} |", of_name.join(", ")).unwrap();
    }
    page
}

#[test]
fn the_reference_of_the_metrics_is_up_to_date() {
    let page = page();
    if std::env::var_os("UPDATE").is_some_and(|value| !value.is_empty()) {
        std::fs::write(Path::new(PAGE), page).unwrap();
        return;
    }
    let stored = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert_eq!(
        stored, page,
        "UPDATE=1 cargo test -p cnbi-controller --test generated writes it anew"
    );
}

/// Whoever adds a metric has to count it in [`counted`], or the page would not have it.
#[test]
fn the_page_has_every_metric() {
    let sources = [
        include_str!("../src/metrics.rs"),
        include_str!("../src/metrics/builds.rs"),
    ];
    let registered: usize = sources
        .iter()
        .flat_map(|source| {
            ["registry.register(", "registry.register_with_unit("].map(|call| source.matches(call).count())
        })
        .sum();
    let rows = page().lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, registered);
}
