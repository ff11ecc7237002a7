//! What the programs count: the page that lists it, and that alerts and dashboard ask for nothing else.

mod monitoring;
mod page;
mod query;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cnbi_controller::metrics::{Metrics as OfController, Outcome as OfVisit, Standing};
use cnbi_controller::reconcile::error::Class;
use cnbi_shared::api::BuildType;
use cnbi_shared::api::status::Phase;
use cnbi_webhook::metrics::Metrics as OfWebhook;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Everything that the webhook counts, counted once: what was never counted is not shown.
fn of_webhook() -> String {
    let metrics = OfWebhook::default();
    let second = Duration::from_secs(1);
    metrics.review("validate", "CREATE", "allowed", second);
    metrics.rule("validate", "CREATE", "invalid", "CNB104");
    metrics.fact("secret", "found", second);
    metrics.review_connections().evicted("no_review");
    metrics.certificate_ends(Some(1));
    metrics.ca_ends(Some(1));
    metrics.render()
}

/// The same for the controller.
fn of_controller() -> Outcome<String> {
    let metrics = OfController::default();
    metrics.visited(OfVisit::Unchanged);
    metrics.visit_took(Duration::from_secs(1));
    metrics.failed(Class::Gone);
    metrics.watch_failed();
    metrics.configured(true);
    metrics.began_to_lead();
    metrics.asked_registry("answered");
    metrics.run_ended(BuildType::ImageImport, "Success");
    metrics.ready_after(BuildType::ImageImport, Duration::from_secs(1));
    metrics.look_with(|| {
        Some(Standing {
            phases: vec![Phase::Ready],
            under_way: vec![BuildType::ImageImport],
            ..Standing::default()
        })
    });
    metrics.called("get", "secrets".to_owned(), 200);
    Ok(metrics.text()?)
}

/// Names and label names of the samples in a text of Prometheus' format.
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
        samples.entry(name.to_owned()).or_default().extend(keys);
    }
    samples
}
