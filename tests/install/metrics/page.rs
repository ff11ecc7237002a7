//! `docs/reference/metrics.md` says what the programs count. `UPDATE=1 cargo test -p cnbi-tests --test install metrics` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::{Outcome, of_controller, of_webhook, samples};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/metrics.md");

const INTRODUCTION: &str = "\
<!-- Generated from webhook/src/metrics.rs and controller/src/metrics; `UPDATE=1 cargo test -p cnbi-tests --test install metrics` writes it anew. -->
# Metrics

What the programs serve under `/metrics`, on the port of their probes, in OpenMetrics' text format. No label has the name of
a resource, a namespace, an image or a person as its value, so their number is bounded. [Alerts](../how-to/alerts.md) and a dashboard are in
`deploy/components/monitoring`.
";

const OF_WEBHOOK: &str = "
## cnbi-webhook

Each replica counts what it was asked itself.

";

const OF_CONTROLLER: &str = "
## cnbi-controller

A replica that stands by counts too: its calls for the Lease, and the configurations that it reads. How it stands with
resources, runs and APIs is told only by the one that leads.

";

fn table(text: &str) -> Result<String, std::fmt::Error> {
    let mut about: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            about.entry(name).or_default().1 = help;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            about.entry(name).or_default().0 = kind;
        }
    }
    let samples = samples(text);
    let mut table = "| metric | kind | labels | |\n|---|---|---|---|\n".to_owned();
    for (name, (kind, help)) in about {
        let suffix = if kind == "counter" { "_total" } else { "" };
        let sample = if kind == "histogram" { "_count" } else { suffix };
        let labels = samples.get(&format!("{name}{sample}")).into_iter().flatten();
        let labels: Vec<String> = labels.map(|label| format!("`{label}`")).collect();
        writeln!(table, "| `{name}{suffix}` | {kind} | {} | {help} |", labels.join(", "))?;
    }
    Ok(table)
}

#[test]
fn the_reference_of_the_metrics_is_up_to_date() -> Outcome {
    let (webhook, controller) = (table(&of_webhook())?, table(&of_controller()?)?);
    let page = format!("{INTRODUCTION}{OF_WEBHOOK}{webhook}{OF_CONTROLLER}{controller}");
    if std::env::var_os("UPDATE").is_some_and(|value| !value.is_empty()) {
        std::fs::write(Path::new(PAGE), page)?;
        return Ok(());
    }
    let stored = std::fs::read_to_string(PAGE).unwrap_or_default();
    let how = "UPDATE=1 cargo test -p cnbi-tests --test install metrics writes it anew";
    assert_eq!(stored, page, "{how}");
    Ok(())
}

/// Whoever adds a metric has to count it once in this program, or the page would not have it.
#[test]
fn the_page_has_every_metric() -> Outcome {
    let registered = |sources: &[&str]| -> usize {
        let calls = ["registry.register(", "registry.register_with_unit("];
        let count = |source: &&str| calls.map(|call| source.matches(call).count()).iter().sum::<usize>();
        sources.iter().map(count).sum()
    };
    let rows =
        |text: &str| Ok::<_, std::fmt::Error>(table(text)?.lines().filter(|line| line.starts_with("| `")).count());
    let webhook = [include_str!("../../../webhook/src/metrics.rs")];
    assert_eq!(rows(&of_webhook())?, registered(&webhook));
    let controller = [
        include_str!("../../../controller/src/metrics.rs"),
        include_str!("../../../controller/src/metrics/builds.rs"),
    ];
    assert_eq!(rows(&of_controller()?)?, registered(&controller));
    Ok(())
}
