//! Prometheus metrics of the webhook.
//!
//! Label values are `&'static str`, never user input, so the number of time series is bounded.

use std::sync::Arc;
use std::time::Duration;

use cnbi_runtime::metrics::{ApiReachability, ConfigMetrics, Renamed, render};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Old names, served until the next release.
#[rustfmt::skip]
pub const RENAMED: &[Renamed] = &[
    Renamed { old: "cnbi_reviews", new: "cnbi_webhook_reviews", labels: OLD_RESULT },
    Renamed { old: "cnbi_review_rules", new: "cnbi_webhook_review_findings", labels: OLD_RESULT },
    Renamed { old: "cnbi_review_duration_seconds", new: "cnbi_webhook_review_duration_seconds", labels: &[] },
    Renamed { old: "cnbi_reviews_in_flight", new: "cnbi_webhook_reviews_in_flight", labels: &[] },
    Renamed { old: "cnbi_connections", new: "cnbi_webhook_connections", labels: &[] },
    Renamed { old: "cnbi_facts", new: "cnbi_webhook_lookups", labels: &[("result=", "outcome=")] },
    Renamed { old: "cnbi_fact_duration_seconds", new: "cnbi_webhook_lookup_duration_seconds", labels: &[] },
    Renamed { old: "cnbi_config_generation", new: "cnbi_webhook_config_generation", labels: &[] },
    Renamed { old: "cnbi_config_valid", new: "cnbi_webhook_config_valid", labels: &[] },
    Renamed { old: "cnbi_api_reachable", new: "cnbi_webhook_api_reachable", labels: &[] },
    Renamed { old: "cnbi_certificate_not_after_seconds", new: "cnbi_webhook_certificate_expiration_timestamp_seconds", labels: &[] },
    Renamed { old: "cnbi_ca_not_after_seconds", new: "cnbi_webhook_ca_expiration_timestamp_seconds", labels: &[] },
    Renamed { old: "cnbi_certificate_refused", new: "cnbi_webhook_certificate_rejected", labels: &[] },
    Renamed { old: "cnbi_client_ca_refused", new: "cnbi_webhook_client_ca_rejected", labels: &[] },
    Renamed { old: "cnbi_panics", new: "cnbi_webhook_panics", labels: &[] },
];

const OLD_RESULT: &[(&str, &str)] = &[
    ("result=\"not_checked\"", "outcome=\"undecided\""),
    ("result=", "outcome="),
];

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reviews: Family<ReviewLabels, Counter>,
    findings: Family<FindingLabels, Counter>,
    review_seconds: Family<WebhookLabels, Histogram, fn() -> Histogram>,
    lookups: Family<LookupLabels, Counter>,
    lookup_seconds: Family<KindLabels, Histogram, fn() -> Histogram>,
    /// Reviews in progress.
    pub in_flight: Gauge,
    connections: Gauge,
    evicted: Family<EvictionLabels, Counter>,
    /// Panics that were caught.
    pub panics: Counter,
    /// State of the configuration.
    pub config: ConfigMetrics,
    /// Whether the API server responds.
    pub api: Arc<ApiReachability>,
    certificate_expiration: Family<NoLabels, Gauge>,
    ca_expiration: Family<NoLabels, Gauge>,
    /// 1 while the certificate files are invalid.
    pub serving_refused: Gauge,
    /// 1 while the file of client CAs is invalid.
    pub clients_refused: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewLabels {
    webhook: &'static str,
    operation: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    webhook: &'static str,
    operation: &'static str,
    result: &'static str,
    rule: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WebhookLabels {
    webhook: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LookupLabels {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EvictionLabels {
    listener: &'static str,
    reason: &'static str,
}

/// The metrics of one listener.
#[derive(Clone, Debug, Default)]
pub struct ConnectionMetrics {
    /// Open connections.
    pub open: Gauge,
    evicted: Family<EvictionLabels, Counter>,
    listener: &'static str,
}

impl ConnectionMetrics {
    /// Counts a connection that was closed at a limit.
    pub fn evicted(&self, reason: &'static str) {
        let listener = self.listener;
        self.evicted.get_or_create(&EvictionLabels { listener, reason }).inc();
    }

    /// The name of the listener.
    pub fn listener(&self) -> &'static str {
        self.listener
    }
}

/// For a metric that has one time series, or none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoLabels {}

/// An unknown value is absent: 0 would be an expiration in 1970.
fn set(family: &Family<NoLabels, Gauge>, value: Option<i64>) {
    match value {
        Some(value) => {
            family.get_or_create(&NoLabels {}).set(value);
        }
        None => {
            family.remove(&NoLabels {});
        }
    }
}

/// Buckets from 100 µs to 6.5 s, each twice the one before.
fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 17))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("cnbi_webhook");
        let mut metrics = Self {
            config: ConfigMetrics::register(&mut registry),
            api: Arc::new(ApiReachability::register(&mut registry)),
            registry,
            reviews: Family::default(),
            findings: Family::default(),
            review_seconds: Family::new_with_constructor(latency),
            lookups: Family::default(),
            lookup_seconds: Family::new_with_constructor(latency),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            evicted: Family::default(),
            panics: Counter::default(),
            certificate_expiration: Family::default(),
            ca_expiration: Family::default(),
            serving_refused: Gauge::default(),
            clients_refused: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    #[rustfmt::skip]
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("reviews", "Admission requests, by result", self.reviews.clone());
        registry.register("review_findings", "Reviews in which the rule found something or could not be checked", self.findings.clone());
        registry.register("review_duration_seconds", "Time from the head of a request to its response", self.review_seconds.clone());
        registry.register("reviews_in_flight", "Reviews in progress", self.in_flight.clone());
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register("connections_evicted", "Connections that were closed because a limit of connections or of memory for request bodies was reached", self.evicted.clone());
        registry.register("lookups", "Reads from the API server for reviews, by kind and result", self.lookups.clone());
        registry.register("lookup_duration_seconds", "Duration of a read from the API server", self.lookup_seconds.clone());
        registry.register("certificate_expiration_timestamp_seconds", "Unix time at which the serving certificate expires", self.certificate_expiration.clone());
        registry.register("ca_expiration_timestamp_seconds", "Unix time at which the CA expires", self.ca_expiration.clone());
        registry.register("certificate_rejected", "1 while the certificate files are invalid and the previous certificate is served", self.serving_refused.clone());
        registry.register("client_ca_rejected", "1 while the file of client CAs is invalid and the previous CAs are used", self.clients_refused.clone());
        registry.register("panics", "Panics that were caught while answering a request", self.panics.clone());
    }

    /// The metrics of the listener for reviews.
    pub fn review_connections(&self) -> ConnectionMetrics {
        self.connections_of("reviews", self.connections.clone())
    }

    /// The metrics of the listener for probes and metrics, whose open connections are not counted.
    pub fn status_connections(&self) -> ConnectionMetrics {
        self.connections_of("status", Gauge::default())
    }

    fn connections_of(&self, listener: &'static str, open: Gauge) -> ConnectionMetrics {
        let evicted = self.evicted.clone();
        ConnectionMetrics {
            open,
            evicted,
            listener,
        }
    }

    /// Records a response.
    pub fn review(&self, webhook: &'static str, operation: &'static str, result: &'static str, took: Duration) {
        let labels = ReviewLabels {
            webhook,
            operation,
            result,
        };
        self.reviews.get_or_create(&labels).inc();
        self.review_seconds
            .get_or_create(&WebhookLabels { webhook })
            .observe(took.as_secs_f64());
    }

    /// Records a rule that found something in a review, or could not be checked.
    pub fn rule(&self, webhook: &'static str, operation: &'static str, result: &'static str, rule: &'static str) {
        let labels = FindingLabels {
            webhook,
            operation,
            result,
            rule,
        };
        self.findings.get_or_create(&labels).inc();
    }

    /// Records a read from the API server.
    pub fn fact(&self, kind: &'static str, result: &'static str, took: Duration) {
        self.lookups.get_or_create(&LookupLabels { kind, result }).inc();
        self.lookup_seconds
            .get_or_create(&KindLabels { kind })
            .observe(took.as_secs_f64());
    }

    /// Sets the Unix time at which the serving certificate expires; `None` if there is none.
    pub fn certificate_ends(&self, at: Option<i64>) {
        set(&self.certificate_expiration, at);
    }

    /// Sets the Unix time at which the CA expires; `None` if unknown.
    pub fn ca_ends(&self, at: Option<i64>) {
        set(&self.ca_expiration, at);
    }

    /// All metrics in the OpenMetrics text format.
    pub fn render(&self) -> String {
        render(&self.registry, RENAMED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_expirations_are_absent() {
        let metrics = Metrics::default();
        let sample = |name: &str| {
            let text = metrics.render();
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.to_owned())
        };
        let certificate = "cnbi_webhook_certificate_expiration_timestamp_seconds";
        let ca = "cnbi_webhook_ca_expiration_timestamp_seconds";
        assert_eq!((sample(certificate), sample(ca)), (None, None));
        metrics.certificate_ends(Some(1_767_225_600));
        metrics.ca_ends(Some(1_767_225_601));
        assert_eq!(sample(certificate).unwrap(), format!("{certificate}{{}} 1767225600"));
        assert_eq!(sample(ca).unwrap(), format!("{ca}{{}} 1767225601"));
        metrics.ca_ends(None);
        assert_eq!(sample(ca), None);
    }
}
