//! Readiness of the webhook.
//!
//! The webhook becomes ready when its certificate is trusted, its configuration is valid and the API server responds. From
//! then on it stays ready: `failurePolicy` is `Fail`, so a short outage of the API server, or a configuration that becomes
//! invalid, must not remove all replicas from the Service. Metrics report those.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cnbi_runtime::configuration::Configuration;
pub use cnbi_runtime::metrics::ApiReachability as ApiReach;
use cnbi_runtime::status_server::Status;

use crate::metrics::Metrics;

/// Returns why API servers do not trust the serving certificate yet; `None` if they do.
pub type Distrust = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// What readiness depends on.
pub struct Health {
    configuration: Arc<Configuration>,
    distrust: Distrust,
    metrics: Arc<Metrics>,
    was_ready: AtomicBool,
    is_shutting_down: AtomicBool,
}

impl Health {
    /// Not ready yet.
    pub fn new(configuration: Arc<Configuration>, distrust: Distrust, metrics: Arc<Metrics>) -> Self {
        Self {
            configuration,
            distrust,
            metrics,
            was_ready: AtomicBool::new(false),
            is_shutting_down: AtomicBool::new(false),
        }
    }

    /// The shutdown has begun.
    pub fn shut_down(&self) {
        self.is_shutting_down.store(true, Ordering::Relaxed);
    }
}

impl Status for Health {
    fn not_ready(&self) -> Vec<String> {
        if self.was_ready.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let active = self.configuration.snapshot();
        let (namespace, name) = (self.configuration.namespace(), self.configuration.name());
        let reasons: Vec<String> = [
            (self.distrust)().map(|reason| format!("certificate: {reason}")),
            active
                .problem()
                .map(|problem| format!("configuration: ConfigMap {namespace}/{name}: {problem}")),
            (!self.metrics.api.has_succeeded()).then(|| "API server: no response yet".to_owned()),
        ]
        .into_iter()
        .flatten()
        .collect();
        if reasons.is_empty() {
            self.was_ready.store(true, Ordering::Relaxed);
        }
        reasons
    }

    fn is_shutting_down(&self) -> bool {
        self.is_shutting_down.load(Ordering::Relaxed)
    }

    fn metrics(&self) -> String {
        self.metrics.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnbi_shared::active_config::ObservedConfigMap;

    #[test]
    fn readiness_reports_every_reason_and_is_kept_once_reached() {
        let configuration = Arc::new(Configuration::new("ns", "cnbi-config"));
        let metrics = Arc::new(Metrics::default());
        let api = Arc::clone(&metrics.api);
        let trusted = Arc::new(AtomicBool::new(false));
        let is_trusted = Arc::clone(&trusted);
        let distrust: Distrust =
            Box::new(move || (!is_trusted.load(Ordering::Relaxed)).then(|| "not published".to_owned()));
        let health = Health::new(Arc::clone(&configuration), distrust, metrics);
        assert_eq!(
            health.not_ready(),
            [
                "certificate: not published",
                "configuration: ConfigMap ns/cnbi-config: not read yet",
                "API server: no response yet",
            ]
        );
        configuration.observe(ObservedConfigMap::Missing);
        assert!(
            health.not_ready()[1].ends_with(": not found"),
            "{:?}",
            health.not_ready()
        );
        configuration.observe(ObservedConfigMap::Present {
            yaml: Some(String::new()),
            version: "1".to_owned(),
        });
        api.succeeded();
        trusted.store(true, Ordering::Relaxed);
        assert!(health.not_ready().is_empty());
        configuration.observe(ObservedConfigMap::Missing);
        trusted.store(false, Ordering::Relaxed);
        api.failed();
        assert!(health.not_ready().is_empty());
        assert!(!health.is_shutting_down());
        health.shut_down();
        assert!(health.is_shutting_down());
    }
}
