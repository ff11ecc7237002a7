//! Metrics that both programs have, and the rendering of `/metrics`.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use cnbi_shared::active_config::ActiveConfig;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// State of the configuration.
#[derive(Clone, Debug, Default)]
pub struct ConfigMetrics {
    generation: Gauge,
    valid: Gauge,
    loads: Family<LoadLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoadLabels {
    valid: bool,
}

impl ConfigMetrics {
    /// Registers the metrics.
    #[rustfmt::skip]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("config_generation", "Number of configurations that have been active since the start", metrics.generation.clone());
        registry.register("config_valid", "1 if the ConfigMap is valid and active; 0 if the previous configuration is active, or none", metrics.valid.clone());
        registry.register("config_loads", "Reads of the ConfigMap, by whether its content was valid", metrics.loads.clone());
        metrics
    }

    /// The ConfigMap was read.
    pub fn loaded(&self, valid: bool) {
        self.loads.get_or_create(&LoadLabels { valid }).inc();
    }

    /// Sets the gauges to the state of `active`.
    pub fn set(&self, active: &ActiveConfig) {
        self.generation.set(active.generation());
        self.valid.set(active.problem().is_none().into());
    }
}

/// Whether the API server responds.
#[derive(Debug, Default)]
pub struct ApiReachability {
    ever: AtomicBool,
    gauge: Gauge,
}

impl ApiReachability {
    /// No request has been made yet.
    pub fn register(registry: &mut Registry) -> Self {
        let reachability = Self::default();
        let help = "1 if the API server responded to the last request, 0 if not";
        registry.register("api_reachable", help, reachability.gauge.clone());
        reachability
    }

    /// The API server responded, with any status.
    pub fn succeeded(&self) {
        self.ever.store(true, Ordering::Relaxed);
        self.gauge.set(1);
    }

    /// The API server did not respond.
    pub fn failed(&self) {
        self.gauge.set(0);
    }

    /// Whether the API server has ever responded.
    pub fn has_succeeded(&self) -> bool {
        self.ever.load(Ordering::Relaxed)
    }
}

/// A metric that was renamed. The old name is served for one release.
#[derive(Clone, Copy, Debug)]
pub struct Renamed {
    /// Old name, as `# TYPE` has it: without `_total`.
    pub old: &'static str,
    /// New name, likewise.
    pub new: &'static str,
    /// Label pairs that changed too: text in the samples of the new metric and what the old one had instead.
    pub labels: &'static [(&'static str, &'static str)],
}

/// All metrics in the OpenMetrics text format, and each renamed metric again under its old name.
pub fn render(registry: &Registry, renamed: &[Renamed]) -> String {
    let mut metrics = String::new();
    // Writing to a String cannot fail.
    let _ = text::encode(&mut metrics, registry);
    let mut old = String::new();
    for metric in renamed {
        old_samples(&metrics, metric, &mut old);
    }
    let end = metrics.rfind("# EOF").unwrap_or(metrics.len());
    metrics.insert_str(end, &old);
    metrics
}

/// Appends the lines of a renamed metric under its old name.
fn old_samples(metrics: &str, metric: &Renamed, old: &mut String) {
    let Renamed { old: name, new, labels } = metric;
    let is_counter = metrics.contains(&format!("# TYPE {new} counter\n"));
    let suffix = if is_counter { "_total" } else { "" };
    for line in metrics.lines() {
        let comment = line.strip_prefix("# ").and_then(|comment| comment.split_once(' '));
        let _ = if let Some((keyword, rest)) = comment {
            match rest.split_once(' ') {
                Some((family, _)) if keyword == "HELP" && family == *new => {
                    writeln!(old, "# HELP {name} Deprecated: use {new}{suffix}")
                }
                Some((family, value)) if family == *new => writeln!(old, "# {keyword} {name} {value}"),
                _ => Ok(()),
            }
        } else if let Some(sample) = line.strip_prefix(new)
            && is_of_family(sample)
        {
            let sample = labels
                .iter()
                .fold(sample.to_owned(), |sample, (new, old)| sample.replace(new, old));
            writeln!(old, "{name}{sample}")
        } else {
            Ok(())
        };
    }
}

/// Whether what follows the name of a metric is one of its suffixes, labels or its value.
fn is_of_family(sample: &str) -> bool {
    let suffix = sample.find(['{', ' ']).map_or(sample, |end| &sample[..end]);
    ["", "_total", "_bucket", "_sum", "_count"].contains(&suffix)
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::histogram::Histogram;

    use super::*;

    #[test]
    fn renamed_metrics_are_served_under_both_names_with_the_same_value() {
        let mut registry = Registry::with_prefix("cnbi");
        let config = ConfigMetrics::register(&mut registry);
        config.loaded(true);
        config.loaded(false);
        let seconds = Histogram::new([1.0]);
        seconds.observe(0.5);
        registry.register("wait_seconds", "Time in the queue", seconds);
        let renamed = |old, new, labels| Renamed { old, new, labels };
        let text = render(
            &registry,
            &[
                renamed("old_loads", "cnbi_config_loads", &[("valid=\"true\"", "ok=\"yes\"")]),
                renamed("old_valid", "cnbi_config_valid", &[]),
                renamed("old_wait_seconds", "cnbi_wait_seconds", &[]),
                // Another metric has this name as a prefix.
                renamed("old_config", "cnbi_config", &[]),
            ],
        );
        for line in [
            "# HELP old_loads Deprecated: use cnbi_config_loads_total",
            "# TYPE old_loads counter",
            "old_loads_total{ok=\"yes\"} 1",
            "old_loads_total{valid=\"false\"} 1",
            "cnbi_config_loads_total{valid=\"true\"} 1",
            "old_valid 0",
            "old_wait_seconds_bucket{le=\"1.0\"} 1",
            "old_wait_seconds_count 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("old_config"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
