//! `/livez`, `/readyz` and `/metrics`, over plain HTTP on a port of their own.
//!
//! Ready means: certificates trusted, configuration valid, API reached. Once that has been so it stays so until the end:
//! after that a blip of the API server, or a configuration that went bad, must not take every replica of a webhook that
//! fails closed out of service. Those are metrics.
//!
//! From SIGTERM on `/readyz` says no, for load balancers that know nothing of pods. Kubernetes takes a pod that is being
//! deleted out of a Service by itself, and falls back on such pods where there are no others, but only while their probe says
//! yes: so a pod's probe asks for `/readyz?exclude=shutdown`, in the words of the API server's own `/readyz`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use prometheus_client::metrics::gauge::Gauge;

use crate::configuration::Configuration;
use crate::metrics::Metrics;

/// Whether the API server answers.
#[derive(Debug)]
pub struct ApiReach {
    once: AtomicBool,
    gauge: Gauge,
}

impl ApiReach {
    /// Nobody has answered yet. `gauge` tells Prometheus.
    pub fn new(gauge: Gauge) -> Self {
        Self {
            once: AtomicBool::new(false),
            gauge,
        }
    }

    /// It answered, whatever it said.
    pub fn answered(&self) {
        self.once.store(true, Ordering::Relaxed);
        self.gauge.set(1);
    }

    /// It could not be reached.
    pub fn lost(&self) {
        self.gauge.set(0);
    }

    /// Whether it has ever answered.
    pub fn has_answered(&self) -> bool {
        self.once.load(Ordering::Relaxed)
    }
}

/// Says why the serving certificate is not trusted yet; `None` when it is.
pub type Distrust = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// What readiness hangs on.
pub struct Health {
    /// The configuration in force.
    pub configuration: Arc<Configuration>,
    /// Whether the API server answers.
    pub reach: Arc<ApiReach>,
    /// Whether API servers trust what we serve.
    pub distrust: Distrust,
    /// What Prometheus is told.
    pub metrics: Arc<Metrics>,
    was_ready: AtomicBool,
    is_draining: AtomicBool,
}

impl Health {
    /// Not ready yet.
    pub fn new(
        configuration: Arc<Configuration>,
        reach: Arc<ApiReach>,
        distrust: Distrust,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            configuration,
            reach,
            distrust,
            metrics,
            was_ready: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
        }
    }

    /// The end has begun: never ready again.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Why this replica should not be asked; empty when it may be.
    pub fn reasons(&self) -> Vec<String> {
        if self.is_draining.load(Ordering::Relaxed) {
            return vec!["shutting down".to_owned()];
        }
        self.reasons_besides_the_end()
    }

    /// Why it could not answer as it should; empty when it can, also while it serves on after SIGTERM.
    pub fn reasons_besides_the_end(&self) -> Vec<String> {
        if self.was_ready.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let snapshot = self.configuration.snapshot();
        let (namespace, name) = (self.configuration.namespace(), self.configuration.name());
        let reasons: Vec<String> = [
            (self.distrust)().map(|why| format!("certificate: {why}")),
            snapshot
                .problem()
                .map(|why| format!("configuration: ConfigMap {namespace}/{name}: {why}")),
            (!self.reach.has_answered()).then(|| "API server: not reached yet".to_owned()),
        ]
        .into_iter()
        .flatten()
        .collect();
        if reasons.is_empty() {
            self.was_ready.store(true, Ordering::Relaxed);
        }
        reasons
    }
}

/// The paths.
pub fn router(health: Arc<Health>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn readyz(State(health): State<Arc<Health>>, RawQuery(query): RawQuery) -> Response {
    let mut asked = query.iter().flat_map(|query| query.split('&'));
    let reasons = if asked.any(|parameter| parameter == "exclude=shutdown") {
        health.reasons_besides_the_end()
    } else {
        health.reasons()
    };
    if reasons.is_empty() {
        return "ok\n".into_response();
    }
    (
        StatusCode::SERVICE_UNAVAILABLE,
        format!("not ready\n{}\n", reasons.join("\n")),
    )
        .into_response()
}

async fn metrics(State(health): State<Arc<Health>>) -> impl IntoResponse {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], health.metrics.render())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnbi_shared::active_config::ObservedConfigMap;
    use tower::ServiceExt as _;

    #[test]
    fn readiness_names_every_reason_and_outlives_a_blip() {
        let configuration = Arc::new(Configuration::new("ns", "cnbi-config"));
        let metrics = Arc::new(Metrics::default());
        let reach = Arc::new(ApiReach::new(metrics.api_reachable.clone()));
        let trusted = Arc::new(AtomicBool::new(false));
        let sees = Arc::clone(&trusted);
        let distrust: Distrust = Box::new(move || (!sees.load(Ordering::Relaxed)).then(|| "not published".to_owned()));
        let health = Health::new(Arc::clone(&configuration), Arc::clone(&reach), distrust, metrics);
        assert_eq!(
            health.reasons(),
            [
                "certificate: not published",
                "configuration: ConfigMap ns/cnbi-config: it has not been read yet",
                "API server: not reached yet",
            ]
        );
        configuration.observe(ObservedConfigMap::Missing);
        assert!(
            health.reasons()[1].ends_with("there is no such ConfigMap"),
            "{:?}",
            health.reasons()
        );
        configuration.observe(ObservedConfigMap::Present {
            yaml: Some(String::new()),
            version: "1".to_owned(),
        });
        reach.answered();
        trusted.store(true, Ordering::Relaxed);
        assert!(health.reasons().is_empty());
        configuration.observe(ObservedConfigMap::Missing);
        trusted.store(false, Ordering::Relaxed);
        reach.lost();
        assert!(health.reasons().is_empty());
        health.drain();
        assert_eq!(health.reasons(), ["shutting down"]);
    }

    #[tokio::test]
    async fn a_probe_may_ask_whether_reviews_are_answered_until_the_last() {
        let metrics = Arc::new(Metrics::default());
        let health = Arc::new(Health {
            was_ready: AtomicBool::new(true),
            ..Health::new(
                Arc::new(Configuration::new("ns", "cnbi-config")),
                Arc::new(ApiReach::new(metrics.api_reachable.clone())),
                Box::new(|| None),
                metrics,
            )
        });
        let status = async |path: &str| {
            let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
            router(Arc::clone(&health)).oneshot(request).await.unwrap().status()
        };
        let probe = "/readyz?verbose&exclude=shutdown";
        assert_eq!(
            (status("/readyz").await, status(probe).await),
            (StatusCode::OK, StatusCode::OK)
        );
        health.drain();
        assert_eq!(status("/readyz").await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(probe).await, StatusCode::OK);
        assert_eq!(
            status("/readyz?exclude=shutdowns").await,
            StatusCode::SERVICE_UNAVAILABLE
        );
        health.was_ready.store(false, Ordering::Relaxed);
        assert_eq!(
            status(probe).await,
            StatusCode::SERVICE_UNAVAILABLE,
            "it never was ready"
        );
    }
}
