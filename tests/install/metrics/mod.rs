//! Metrics: their reference page, and that alerts and dashboard use existing metrics only.

mod monitoring;
mod page;
mod query;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cnbi_controller::metrics::{Metrics as OfController, ReconcileResult, ResourceCounts};
use cnbi_controller::reconcile::error::ErrorClass;
use cnbi_runtime::metrics::Renamed;
use cnbi_shared::api::BuildType;
use cnbi_shared::api::status::Phase;
use cnbi_webhook::metrics::Metrics as OfWebhook;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// `/metrics` of the webhook with each metric counted once: a family without samples is absent.
fn of_webhook() -> String {
    let metrics = OfWebhook::default();
    let second = Duration::from_secs(1);
    metrics.review("validate", "CREATE", "allowed", second);
    metrics.rule("validate", "CREATE", "invalid", "CNB104");
    metrics.fact("secret", "found", second);
    metrics.review_connections().evicted("no_review");
    metrics.certificate_ends(Some(1));
    metrics.ca_ends(Some(1));
    metrics.config.loaded(true);
    metrics.render()
}

/// The same for the controller.
fn of_controller() -> String {
    let metrics = OfController::default();
    metrics.reconciled(ReconcileResult::Unchanged);
    metrics.observe_reconcile(Duration::from_secs(1));
    metrics.reconcile_failed(ErrorClass::Gone);
    metrics.watch_failed();
    metrics.config.loaded(true);
    metrics.set_leader();
    metrics.registry_request("success");
    metrics.run_completed(BuildType::ImageImport, "Success");
    metrics.ready_after(BuildType::ImageImport, Duration::from_secs(1));
    metrics.count_resources_with(|| {
        Some(ResourceCounts {
            phases: vec![Phase::Ready],
            active_runs: vec![BuildType::ImageImport],
            ..ResourceCounts::default()
        })
    });
    metrics.api_request("get", "secrets".to_owned(), 200);
    metrics.render()
}

/// All renamed metrics of both programs.
fn renamed() -> impl Iterator<Item = &'static Renamed> {
    cnbi_webhook::metrics::RENAMED
        .iter()
        .chain(cnbi_controller::metrics::RENAMED)
}

/// Whether a sample or a metric has a deprecated name.
fn is_deprecated(name: &str) -> bool {
    let is_suffix = |suffix| ["", "_total", "_bucket", "_sum", "_count"].contains(&suffix);
    renamed().any(|metric| name.strip_prefix(metric.old).is_some_and(is_suffix))
}

/// Names and label names of the samples in Prometheus' text format, without deprecated names.
fn samples(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut samples: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, pairs) = match line.split_once('{') {
            Some((name, rest)) => (name, rest.rsplit_once('}').map_or("", |(pairs, _)| pairs)),
            None => (line.split_once(' ').map_or(line, |(name, _)| name), ""),
        };
        let keys = pairs
            .split(',')
            .filter_map(|pair| Some(pair.split_once("=\"")?.0.to_owned()));
        if is_deprecated(name) {
            continue;
        }
        samples.entry(name.to_owned()).or_default().extend(keys);
    }
    samples
}
