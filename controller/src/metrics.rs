//! What the controller counts, in Prometheus' text format. No name of a resource is a label: there may be many.

mod builds;

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use cnbi_shared::api::BuildType;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::reconcile::error::Class;

use builds::Builds;
pub use builds::{Standing, Verdict};

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    visits: Family<Visit, Counter>,
    failures: Family<Failed, Counter>,
    watch_failures: Counter,
    configuration_valid: Gauge,
    configuration_loads: Family<Load, Counter>,
    leads: Gauge,
    registry_questions: Family<Answered, Counter>,
    api_calls: Family<Call, Counter>,
    visit_duration: Histogram,
    builds: Builds,
    look: OnceLock<Look>,
}

/// Tells how it stands, as long as there is anything to tell of.
struct Look(Box<dyn Fn() -> Option<Standing> + Send + Sync>);

impl fmt::Debug for Look {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Look")
    }
}

/// How a visit of a resource ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to do, so nothing was written.
    Unchanged,
    /// The status was written.
    Written,
    /// It failed and will be tried again.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Visit {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    verb: &'static str,
    resource: String,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Load {
    valid: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("cnbi_controller");
        let mut metrics = Self {
            builds: Builds::register(&mut registry),
            registry,
            look: OnceLock::new(),
            visits: Family::default(),
            failures: Family::default(),
            watch_failures: Counter::default(),
            configuration_valid: Gauge::default(),
            configuration_loads: Family::default(),
            leads: Gauge::default(),
            registry_questions: Family::default(),
            api_calls: Family::default(),
            visit_duration: Histogram::new(exponential_buckets(0.001, 4.0, 9)),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "visits",
            "Looks at a resource, by how they ended",
            metrics.visits.clone(),
        );
        registry.register(
            "api_failures",
            "Writes that failed, by kind of failure",
            metrics.failures.clone(),
        );
        registry.register(
            "watch_failures",
            "Interruptions of the watch of resources",
            metrics.watch_failures.clone(),
        );
        registry.register(
            "configuration_valid",
            "1 when the ConfigMap's content is in force, 0 when the last good one is, or none",
            metrics.configuration_valid.clone(),
        );
        registry.register(
            "configuration_loads",
            "Contents of the ConfigMap that were read, by whether they could be taken",
            metrics.configuration_loads.clone(),
        );
        registry.register(
            "leads",
            "1 while this replica does the work, 0 while it stands by",
            metrics.leads.clone(),
        );
        registry.register(
            "registry_questions",
            "Questions to registries what a followed tag names, by what came of them",
            metrics.registry_questions.clone(),
        );
        registry.register(
            "api_calls",
            "Requests to the API server, by verb, resource and status of the answer; 0 where there was none",
            metrics.api_calls.clone(),
        );
        registry.register_with_unit(
            "visit_duration",
            "How long looks at a resource take, with all that is written",
            Unit::Seconds,
            metrics.visit_duration.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// A look at a resource ended.
    pub fn visited(&self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Unchanged => "unchanged",
            Outcome::Written => "written",
            Outcome::Failed => "failed",
        };
        self.visits.get_or_create(&Visit { outcome }).inc();
    }

    /// A write failed.
    pub fn failed(&self, class: Class) {
        self.failures.get_or_create(&Failed { class: class.as_str() }).inc();
    }

    /// The watch of resources was interrupted.
    pub fn watch_failed(&self) {
        self.watch_failures.inc();
    }

    /// The ConfigMap was read.
    pub fn configured(&self, valid: bool) {
        self.configuration_valid.set(i64::from(valid));
        self.configuration_loads.get_or_create(&Load { valid }).inc();
    }

    /// The API server was asked; `code` is the status of its answer, 0 where there was none.
    pub fn called(&self, verb: &'static str, resource: String, code: u16) {
        self.api_calls.get_or_create(&Call { verb, resource, code }).inc();
    }

    /// A look at a resource took so long.
    pub fn visit_took(&self, took: Duration) {
        self.visit_duration.observe(took.as_secs_f64());
    }

    /// A registry was asked what a tag names.
    pub fn asked_registry(&self, outcome: &'static str) {
        self.registry_questions.get_or_create(&Answered { outcome }).inc();
    }

    /// This replica has begun to do the work.
    pub fn began_to_lead(&self) {
        self.leads.set(1);
    }

    /// A run ended with `outcome`: `Success`, or the reason of its failure.
    pub fn run_ended(&self, build_type: BuildType, outcome: &str) {
        self.builds.ended(build_type, outcome);
    }

    /// A resource's first generation became Ready so long after the resource was created.
    pub fn ready_after(&self, build_type: BuildType, took: Duration) {
        self.builds.ready_after(build_type, took.as_secs_f64());
    }

    /// From now on, `look` tells how it stands whenever the metrics are asked for. Only the first one counts.
    pub fn look_with(&self, look: impl Fn() -> Option<Standing> + Send + Sync + 'static) {
        // A process begins its work once.
        let _ = self.look.set(Look(Box::new(look)));
    }

    /// All of it, as text.
    ///
    /// # Errors
    /// A metric does not encode; none of these can.
    pub fn text(&self) -> Result<String, fmt::Error> {
        if let Some(standing) = self.look.get().and_then(|look| look.0()) {
            self.builds.stand(&standing);
        }
        let mut buffer = String::new();
        text::encode(&mut buffer, &self.registry)?;
        Ok(buffer)
    }
}
