//! What Prometheus is told.
//!
//! A label is a `&'static str`: nothing that a user writes can become one, so no user can grow the memory of anybody.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// All metrics. One instance a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reviews: Family<ReviewLabels, Counter>,
    rules: Family<RuleLabels, Counter>,
    review_seconds: Family<WebhookLabels, Histogram, fn() -> Histogram>,
    facts: Family<FactLabels, Counter>,
    fact_seconds: Family<KindLabels, Histogram, fn() -> Histogram>,
    /// Reviews that are being answered.
    pub in_flight: Gauge,
    connections: Gauge,
    evicted: Family<EvictionLabels, Counter>,
    /// Panics that were caught.
    pub panics: Counter,
    /// Counts the configurations that have been in force.
    pub config_generation: Gauge,
    /// 1 while what is in the cluster is what is in force.
    pub config_valid: Gauge,
    /// 1 while the API server answers.
    pub api_reachable: Gauge,
    certificate_not_after: Family<NoLabels, Gauge>,
    ca_not_after: Family<NoLabels, Gauge>,
    /// 1 while the folder of the serving certificate holds one that cannot be served.
    pub serving_refused: Gauge,
    /// 1 while the file of client CAs holds what cannot be used.
    pub clients_refused: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewLabels {
    webhook: &'static str,
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabels {
    webhook: &'static str,
    operation: &'static str,
    outcome: &'static str,
    rule: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WebhookLabels {
    webhook: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FactLabels {
    kind: &'static str,
    outcome: &'static str,
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
    /// Connections that are open.
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

/// Of a metric that is there once, or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoLabels {}

/// What is not known is not there; a zero would be an end long ago.
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

/// From 100 µs to 6.5 s, each twice the one before.
fn latency() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 17))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("cnbi"),
            reviews: Family::default(),
            rules: Family::default(),
            review_seconds: Family::new_with_constructor(latency),
            facts: Family::default(),
            fact_seconds: Family::new_with_constructor(latency),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            evicted: Family::default(),
            panics: Counter::default(),
            config_generation: Gauge::default(),
            config_valid: Gauge::default(),
            api_reachable: Gauge::default(),
            certificate_not_after: Family::default(),
            ca_not_after: Family::default(),
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
        registry.register("reviews", "Requests that were answered", self.reviews.clone());
        registry.register("review_rules", "Reviews in which a rule had something to say", self.rules.clone());
        registry.register("review_duration_seconds", "From the head of a request to its answer", self.review_seconds.clone());
        registry.register("reviews_in_flight", "Reviews that are being answered", self.in_flight.clone());
        registry.register("connections", "Connections that are open", self.connections.clone());
        registry.register("connections_evicted", "Connections that were closed because a limit of connections or of memory for request bodies was reached", self.evicted.clone());
        registry.register("facts", "Things that were read from the API server for a review", self.facts.clone());
        registry.register("fact_duration_seconds", "How long reading one of them took", self.fact_seconds.clone());
        registry.register("config_generation", "How many configurations have been in force", self.config_generation.clone());
        registry.register("config_valid", "1 while the ConfigMap is what is in force", self.config_valid.clone());
        registry.register("api_reachable", "1 while the API server answers", self.api_reachable.clone());
        registry.register("certificate_not_after_seconds", "Unix time at which the serving certificate ends", self.certificate_not_after.clone());
        registry.register("ca_not_after_seconds", "Unix time at which the CA ends", self.ca_not_after.clone());
        registry.register("certificate_refused", "1 while the folder of the serving certificate holds one that cannot be served", self.serving_refused.clone());
        registry.register("client_ca_refused", "1 while the file of client CAs holds what cannot be used", self.clients_refused.clone());
        registry.register("panics", "Panics that were caught", self.panics.clone());
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

    /// A request was answered.
    pub fn review(&self, webhook: &'static str, operation: &'static str, outcome: &'static str, took: Duration) {
        let labels = ReviewLabels {
            webhook,
            operation,
            outcome,
        };
        self.reviews.get_or_create(&labels).inc();
        self.review_seconds
            .get_or_create(&WebhookLabels { webhook })
            .observe(took.as_secs_f64());
    }

    /// A rule had something to say in a review.
    pub fn rule(&self, webhook: &'static str, operation: &'static str, outcome: &'static str, rule: &'static str) {
        let labels = RuleLabels {
            webhook,
            operation,
            outcome,
            rule,
        };
        self.rules.get_or_create(&labels).inc();
    }

    /// A fact was asked for.
    pub fn fact(&self, kind: &'static str, outcome: &'static str, took: Duration) {
        self.facts.get_or_create(&FactLabels { kind, outcome }).inc();
        self.fact_seconds
            .get_or_create(&KindLabels { kind })
            .observe(took.as_secs_f64());
    }

    /// The serving certificate ends at that Unix time; `None` while there is none.
    pub fn certificate_ends(&self, at: Option<i64>) {
        set(&self.certificate_not_after, at);
    }

    /// The CA ends at that Unix time; `None` while that is not known.
    pub fn ca_ends(&self, at: Option<i64>) {
        set(&self.ca_not_after, at);
    }

    /// Everything in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_is_not_known_is_not_told() {
        let metrics = Metrics::default();
        let told = |name: &str| {
            let text = metrics.render();
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.to_owned())
        };
        let (certificate, ca) = ("cnbi_certificate_not_after_seconds", "cnbi_ca_not_after_seconds");
        assert_eq!((told(certificate), told(ca)), (None, None));
        metrics.certificate_ends(Some(1_767_225_600));
        metrics.ca_ends(Some(1_767_225_601));
        assert_eq!(told(certificate).unwrap(), format!("{certificate}{{}} 1767225600"));
        assert_eq!(told(ca).unwrap(), format!("{ca}{{}} 1767225601"));
        metrics.ca_ends(None);
        assert_eq!(told(ca), None);
    }
}
