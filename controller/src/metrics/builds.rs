//! Metrics of builds and resources.
//!
//! The gauges are computed from the caches for each request of `/metrics`; no event would tell when to change them.

use cnbi_shared::api::BuildType;
use cnbi_shared::api::status::Phase;
use cnbi_shared::contract::Reason;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// State of all resources at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceCounts {
    /// Number of resources in the build queue.
    pub queued: usize,
    /// Build types of the runs that have not completed.
    pub active_runs: Vec<BuildType>,
    /// Phases of all resources.
    pub phases: Vec<Phase>,
    /// Validations of all resources.
    pub validations: Vec<Validation>,
    /// Whether the cluster has Tekton's API.
    pub has_tekton: bool,
    /// Whether the cluster has the ImageStream API.
    pub has_image_streams: bool,
}

/// Result of the current rules that need only the resource itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// All rules are satisfied.
    Valid,
    /// The webhook would reject it.
    Invalid,
    /// The controller has not checked it yet.
    NotChecked,
}

#[derive(Debug)]
pub(super) struct Builds {
    queued_resources: Gauge,
    active_runs: Family<TypeLabels, Gauge>,
    completed_runs: Family<RunLabels, Counter>,
    time_to_ready: Family<TypeLabels, Histogram, fn() -> Histogram>,
    resources: Family<PhaseLabels, Gauge>,
    resource_validation: Family<ValidationLabels, Gauge>,
    apis: Family<ApiLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabels {
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    r#type: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ValidationLabels {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabels {
    api: &'static str,
}

impl Builds {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let builds = Self {
            queued_resources: Gauge::default(),
            active_runs: Family::default(),
            completed_runs: Family::default(),
            // From 5 seconds to three hours.
            time_to_ready: Family::new_with_constructor(|| Histogram::new(exponential_buckets(5.0, 2.0, 12))),
            resources: Family::default(),
            resource_validation: Family::default(),
            apis: Family::default(),
        };
        registry.register(
            "queued_resources",
            "Resources that wait only because the limit of concurrent builds is reached",
            builds.queued_resources.clone(),
        );
        registry.register(
            "active_runs",
            "PipelineRuns that have not completed, by build type",
            builds.active_runs.clone(),
        );
        registry.register(
            "completed_runs",
            "PipelineRuns that completed, by build type and result: Success or the reason of the failure",
            builds.completed_runs.clone(),
        );
        registry.register_with_unit(
            "time_to_ready",
            "Time from the creation of a resource until its first generation is Ready, by build type",
            Unit::Seconds,
            builds.time_to_ready.clone(),
        );
        registry.register("resources", "Resources, by phase", builds.resources.clone());
        registry.register(
            "resource_validation",
            "Resources, by result of the current rules that need only the resource itself; kubectl cnbi audit lists them",
            builds.resource_validation.clone(),
        );
        registry.register(
            "api_available",
            "1 if the cluster serves an API that builds need, 0 if not",
            builds.apis.clone(),
        );
        builds
    }

    pub(super) fn run_completed(&self, build_type: BuildType, outcome: &str) {
        let result = match outcome {
            "Success" => "Success",
            reason => Reason::by_name(reason).map_or("Unknown", Reason::as_str),
        };
        let r#type = build_type.as_str();
        self.completed_runs.get_or_create(&RunLabels { r#type, result }).inc();
    }

    pub(super) fn ready_after(&self, build_type: BuildType, seconds: f64) {
        let r#type = build_type.as_str();
        self.time_to_ready
            .get_or_create(&TypeLabels { r#type })
            .observe(seconds);
    }

    /// Sets all gauges, also those whose count is 0.
    pub(super) fn set(&self, counts: &ResourceCounts) {
        set(&self.queued_resources, counts.queued);
        for build_type in BuildType::ALL {
            let r#type = build_type.as_str();
            let count = counts.active_runs.iter().filter(|other| **other == build_type).count();
            set(&self.active_runs.get_or_create(&TypeLabels { r#type }), count);
        }
        for (phase, label) in [
            (Phase::Pending, "Pending"),
            (Phase::Building, "Building"),
            (Phase::Ready, "Ready"),
            (Phase::Failed, "Failed"),
        ] {
            let count = counts.phases.iter().filter(|other| **other == phase).count();
            set(&self.resources.get_or_create(&PhaseLabels { phase: label }), count);
        }
        for (validation, label) in [
            (Validation::Valid, "valid"),
            (Validation::Invalid, "invalid"),
            (Validation::NotChecked, "not_checked"),
        ] {
            let count = counts.validations.iter().filter(|other| **other == validation).count();
            set(
                &self
                    .resource_validation
                    .get_or_create(&ValidationLabels { result: label }),
                count,
            );
        }
        for (api, is_available) in [
            ("tekton.dev", counts.has_tekton),
            ("image.openshift.io", counts.has_image_streams),
        ] {
            set(&self.apis.get_or_create(&ApiLabels { api }), usize::from(is_available));
        }
    }
}

fn set(gauge: &Gauge, count: usize) {
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
}
