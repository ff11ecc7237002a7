//! Prometheus metrics of the controller. Names of objects are not labels, so the number of time series is bounded.

mod builds;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cnbi_runtime::metrics::{ApiReachability, ConfigMetrics, Renamed, render};
use cnbi_shared::api::BuildType;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::reconcile::error::ErrorClass;

use builds::Builds;
pub use builds::{ResourceCounts, Validation};

/// Old names, served until the next release.
#[rustfmt::skip]
pub const RENAMED: &[Renamed] = &[
    Renamed {
        old: "cnbi_controller_visits",
        new: "cnbi_controller_reconcile",
        labels: &[("result=\"updated\"", "outcome=\"written\""), ("result=\"error\"", "outcome=\"failed\""), ("result=", "outcome=")],
    },
    Renamed { old: "cnbi_controller_visit_duration_seconds", new: "cnbi_controller_reconcile_duration_seconds", labels: &[] },
    Renamed { old: "cnbi_controller_api_failures", new: "cnbi_controller_reconcile_errors", labels: &[] },
    Renamed { old: "cnbi_controller_watch_failures", new: "cnbi_controller_watch_errors", labels: &[] },
    Renamed { old: "cnbi_controller_configuration_valid", new: "cnbi_controller_config_valid", labels: &[] },
    Renamed { old: "cnbi_controller_configuration_loads", new: "cnbi_controller_config_loads", labels: &[] },
    Renamed { old: "cnbi_controller_leads", new: "cnbi_controller_leader", labels: &[] },
    Renamed {
        old: "cnbi_controller_registry_questions",
        new: "cnbi_controller_registry_requests",
        labels: &[("result=\"success\"", "outcome=\"answered\""), ("result=", "outcome=")],
    },
    Renamed { old: "cnbi_controller_api_calls", new: "cnbi_controller_api_requests", labels: &[] },
    Renamed { old: "cnbi_controller_waiting_resources", new: "cnbi_controller_queued_resources", labels: &[] },
    Renamed { old: "cnbi_controller_runs_under_way", new: "cnbi_controller_active_runs", labels: &[] },
    Renamed { old: "cnbi_controller_runs_ended", new: "cnbi_controller_completed_runs", labels: &[("result=", "outcome=")] },
    Renamed {
        old: "cnbi_controller_resources_judged",
        new: "cnbi_controller_resource_validation",
        labels: &[
            ("result=\"valid\"", "verdict=\"accepted\""),
            ("result=\"invalid\"", "verdict=\"refused\""),
            ("result=\"not_checked\"", "verdict=\"undecided\""),
        ],
    },
    Renamed { old: "cnbi_controller_api_present", new: "cnbi_controller_api_available", labels: &[] },
];

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// State of the configuration.
    pub config: ConfigMetrics,
    /// Whether the API server responds.
    pub api: Arc<ApiReachability>,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_errors: Family<ErrorLabels, Counter>,
    reconcile_duration: Histogram,
    watch_errors: Counter,
    leader: Gauge,
    registry_requests: Family<RegistryLabels, Counter>,
    api_requests: Family<ApiLabels, Counter>,
    builds: Builds,
    count_resources: OnceLock<CountResources>,
}

/// Counts the resources; `None` once the reconciler has stopped.
struct CountResources(Box<dyn Fn() -> Option<ResourceCounts> + Send + Sync>);

impl fmt::Debug for CountResources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CountResources")
    }
}

/// Result of a reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileResult {
    /// The status was already correct.
    Unchanged,
    /// The status was written.
    Updated,
    /// It failed and will be retried.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabels {
    verb: &'static str,
    resource: String,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegistryLabels {
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("cnbi_controller");
        let mut metrics = Self {
            config: ConfigMetrics::register(&mut registry),
            api: Arc::new(ApiReachability::register(&mut registry)),
            builds: Builds::register(&mut registry),
            registry,
            count_resources: OnceLock::new(),
            reconciles: Family::default(),
            reconcile_errors: Family::default(),
            // From 1 ms to 65 s.
            reconcile_duration: Histogram::new(exponential_buckets(0.001, 4.0, 9)),
            watch_errors: Counter::default(),
            leader: Gauge::default(),
            registry_requests: Family::default(),
            api_requests: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    #[rustfmt::skip]
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("reconcile", "Reconciles of resources, by result", self.reconciles.clone());
        registry.register("reconcile_errors", "Failed reconciles, by class of the error", self.reconcile_errors.clone());
        registry.register_with_unit("reconcile_duration", "Duration of a reconcile, including its writes", Unit::Seconds, self.reconcile_duration.clone());
        registry.register("watch_errors", "Interruptions of watches", self.watch_errors.clone());
        registry.register("leader", "1 if this replica is the leader, 0 if it is on standby", self.leader.clone());
        registry.register("registry_requests", "Requests to registries for the digest of a tracked tag, by result", self.registry_requests.clone());
        registry.register("api_requests", "Requests to the API server, by verb, resource and status code; code 0 means no response", self.api_requests.clone());
    }

    /// A reconcile ended.
    pub fn reconciled(&self, result: ReconcileResult) {
        let result = match result {
            ReconcileResult::Unchanged => "unchanged",
            ReconcileResult::Updated => "updated",
            ReconcileResult::Failed => "error",
        };
        self.reconciles.get_or_create(&ReconcileLabels { result }).inc();
    }

    /// A reconcile failed with an error of that class.
    pub fn reconcile_failed(&self, class: ErrorClass) {
        let class = class.as_str();
        self.reconcile_errors.get_or_create(&ErrorLabels { class }).inc();
    }

    /// A watch was interrupted.
    pub fn watch_failed(&self) {
        self.watch_errors.inc();
    }

    /// The API server was requested; `code` is the status of the response, 0 if there was none.
    pub fn api_request(&self, verb: &'static str, resource: String, code: u16) {
        let labels = ApiLabels { verb, resource, code };
        self.api_requests.get_or_create(&labels).inc();
    }

    /// A reconcile took that long.
    pub fn observe_reconcile(&self, took: Duration) {
        self.reconcile_duration.observe(took.as_secs_f64());
    }

    /// A registry was requested for the digest of a tag.
    pub fn registry_request(&self, result: &'static str) {
        self.registry_requests.get_or_create(&RegistryLabels { result }).inc();
    }

    /// This replica is the leader from now on.
    pub fn set_leader(&self) {
        self.leader.set(1);
    }

    /// A run completed with `result`: `Success`, or the reason of its failure.
    pub fn run_completed(&self, build_type: BuildType, result: &str) {
        self.builds.run_completed(build_type, result);
    }

    /// The first generation of a resource became Ready that long after its creation.
    pub fn ready_after(&self, build_type: BuildType, took: Duration) {
        self.builds.ready_after(build_type, took.as_secs_f64());
    }

    /// Sets the function that counts the resources for each request of `/metrics`. Later calls have no effect.
    pub fn count_resources_with(&self, count: impl Fn() -> Option<ResourceCounts> + Send + Sync + 'static) {
        let _ = self.count_resources.set(CountResources(Box::new(count)));
    }

    /// All metrics in the OpenMetrics text format.
    pub fn render(&self) -> String {
        if let Some(counts) = self.count_resources.get().and_then(|count| count.0()) {
            self.builds.set(&counts);
        }
        render(&self.registry, RENAMED)
    }
}
