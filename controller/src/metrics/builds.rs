//! What is counted of builds: how many wait, run and have ended, and how long it takes until an image can be used.
//!
//! How it stands is looked up when somebody asks for the metrics, because nothing tells when a gauge would have to move.

use cnbi_shared::api::BuildType;
use cnbi_shared::api::status::Phase;
use cnbi_shared::contract::Reason;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// How it stands with all resources at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many resources wait for nothing but their turn.
    pub waiting: usize,
    /// The build types of the runs that have not ended.
    pub under_way: Vec<BuildType>,
    /// The phases of all resources.
    pub phases: Vec<Phase>,
    /// What the rules say of all resources.
    pub verdicts: Vec<Verdict>,
    /// Whether the cluster has Tekton's API.
    pub has_tekton: bool,
    /// Whether the cluster has OpenShift's API of ImageStreams.
    pub has_image_streams: bool,
}

/// What the rules in force say of a stored resource, as far as they can be judged from it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Accepted,
    /// It would be refused today.
    Refused,
    /// Nobody has judged it yet.
    Undecided,
}

#[derive(Debug)]
pub(super) struct Builds {
    waiting: Gauge,
    under_way: Family<OfType, Gauge>,
    ended: Family<Ended, Counter>,
    time_to_ready: Family<OfType, Histogram, fn() -> Histogram>,
    resources: Family<InPhase, Gauge>,
    judged: Family<Judged, Gauge>,
    apis: Family<Api, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfType {
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    r#type: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InPhase {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Judged {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Api {
    api: &'static str,
}

impl Builds {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let builds = Self {
            waiting: Gauge::default(),
            under_way: Family::default(),
            ended: Family::default(),
            // From 5 seconds to three hours.
            time_to_ready: Family::new_with_constructor(|| Histogram::new(exponential_buckets(5.0, 2.0, 12))),
            resources: Family::default(),
            judged: Family::default(),
            apis: Family::default(),
        };
        registry.register(
            "queued_resources",
            "Resources that wait only because the limit of concurrent builds is reached",
            builds.waiting.clone(),
        );
        registry.register(
            "active_runs",
            "PipelineRuns that have not completed, by build type",
            builds.under_way.clone(),
        );
        registry.register(
            "completed_runs",
            "PipelineRuns that completed, by build type and result: Success or the reason of the failure",
            builds.ended.clone(),
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
            builds.judged.clone(),
        );
        registry.register(
            "api_available",
            "1 if the cluster serves an API that builds need, 0 if not",
            builds.apis.clone(),
        );
        builds
    }

    pub(super) fn ended(&self, build_type: BuildType, outcome: &str) {
        let result = match outcome {
            "Success" => "Success",
            reason => Reason::by_name(reason).map_or("Unknown", Reason::as_str),
        };
        let r#type = build_type.as_str();
        self.ended.get_or_create(&Ended { r#type, result }).inc();
    }

    pub(super) fn ready_after(&self, build_type: BuildType, seconds: f64) {
        let r#type = build_type.as_str();
        self.time_to_ready.get_or_create(&OfType { r#type }).observe(seconds);
    }

    /// Every value that a label can have is shown, also where it counts none.
    pub(super) fn stand(&self, standing: &Standing) {
        set(&self.waiting, standing.waiting);
        for build_type in BuildType::ALL {
            let r#type = build_type.as_str();
            let count = standing.under_way.iter().filter(|other| **other == build_type).count();
            set(&self.under_way.get_or_create(&OfType { r#type }), count);
        }
        for (phase, label) in [
            (Phase::Pending, "Pending"),
            (Phase::Building, "Building"),
            (Phase::Ready, "Ready"),
            (Phase::Failed, "Failed"),
        ] {
            let count = standing.phases.iter().filter(|other| **other == phase).count();
            set(&self.resources.get_or_create(&InPhase { phase: label }), count);
        }
        for (verdict, label) in [
            (Verdict::Accepted, "valid"),
            (Verdict::Refused, "invalid"),
            (Verdict::Undecided, "not_checked"),
        ] {
            let count = standing.verdicts.iter().filter(|other| **other == verdict).count();
            set(&self.judged.get_or_create(&Judged { result: label }), count);
        }
        for (api, is_there) in [
            ("tekton.dev", standing.has_tekton),
            ("image.openshift.io", standing.has_image_streams),
        ] {
            set(&self.apis.get_or_create(&Api { api }), usize::from(is_there));
        }
    }
}

fn set(gauge: &Gauge, count: usize) {
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
}
