//! Answers one review: parses it, reads the facts that the rules need, and writes the response.
//!
//! Each review has its own span, one log line and its metrics. HTTP is in [`crate::routes`].

use std::sync::Arc;
use std::time::Duration;

use cnbi_runtime::configuration::Configuration;
use cnbi_shared::active_config::ActiveConfig;
use cnbi_shared::api::UnvalidatedImage;
use cnbi_shared::config::{Config, KEY, Problem};
use cnbi_shared::facts::Lookup;
use cnbi_shared::verdict::{Report, printable};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::admission::{self, TargetSource};
use crate::admission_request::{self, AdmissionRequest, InvalidReview, Operation};
use crate::admission_response::AdmissionResponse;
use crate::facts::{self, FactReader, FactSource, Freshness, LookupError};
use crate::metrics::Metrics;

/// Most characters of a name in the log.
const SHOWN: usize = 253;

/// The webhooks that the API server calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Webhook {
    /// Applies defaults; see [`Reviewer::mutate`].
    Mutate,
    /// Validates the final object; see [`Reviewer::validate`].
    Validate,
    /// Validates the ConfigMap of CNBi; see [`Reviewer::validate_config`].
    ValidateConfig,
}

impl Webhook {
    /// Its name in metrics and in the log.
    pub fn label(self) -> &'static str {
        match self {
            Self::Mutate => "mutate",
            Self::Validate => "validate",
            Self::ValidateConfig => "validate-config",
        }
    }
}

/// The response to a review, and its labels in metrics.
#[derive(Debug)]
pub struct ReviewResult {
    /// The AdmissionReview with the response.
    pub json: Vec<u8>,
    /// The operation of the request.
    pub operation: Operation,
    /// `allowed`, `warned`, `invalid`, `forbidden` or `not_checked`.
    pub outcome: &'static str,
}

/// Answers reviews.
pub struct Reviewer {
    /// The active configuration.
    pub configuration: Arc<Configuration>,
    /// Reads facts.
    pub source: Arc<dyn FactSource>,
    /// Counts reviews.
    pub metrics: Arc<Metrics>,
    /// How long reading the facts of one review may take.
    pub fact_limit: Duration,
}

impl Reviewer {
    /// Answers the review in `body`.
    pub async fn review(&self, webhook: Webhook, body: &[u8]) -> Result<ReviewResult, InvalidReview> {
        if webhook == Webhook::ValidateConfig {
            return self.validate_config(body);
        }
        let mut request = admission_request::parse(body)?;
        let span = span(webhook, &request);
        let reviewed = async {
            let operation = request.operation;
            let snapshot = self.configuration.snapshot();
            let Some(config) = snapshot.config() else {
                let problem = snapshot.problem().unwrap_or_default();
                let message = format!(
                    "cnbi-webhook has no configuration: ConfigMap {}: {problem}",
                    self.config_map()
                );
                let response = AdmissionResponse::unavailable(&request.uid, message);
                return self.finish(webhook, operation, &response, &Report::default());
            };
            let (mut response, report) = match webhook {
                Webhook::Mutate => self.mutate(&mut request, &snapshot, config).await,
                _ => self.validate(&request, config).await,
            };
            if let Some(problem) = snapshot.problem() {
                let map = self.config_map();
                response.warn(&format!(
                    "ConfigMap {map} is invalid; the last valid configuration is active: {problem}"
                ));
            }
            self.finish(webhook, operation, &response, &report)
        };
        Ok(reviewed.instrument(span).await)
    }

    /// Applies defaults. If the schema might reject the object, `/validate` may not be called: then this reports all errors.
    async fn mutate(
        &self,
        request: &mut AdmissionRequest<'_>,
        snapshot: &ActiveConfig,
        config: &Config,
    ) -> (AdmissionResponse, Report) {
        let defaults = admission::apply_defaults(request, config);
        let report = admission::evaluate(request, &facts::known_facts(), config);
        if admission::schema_might_reject(&report) {
            return self.validate(request, config).await;
        }
        let mut response = AdmissionResponse::allow(&request.uid).with_patch(defaults.patch.as_ref());
        if let Some(source) = defaults.target_source {
            let source = match source {
                TargetSource::Stored => "the stored resource".to_owned(),
                TargetSource::Own => "the resource's own namespace".to_owned(),
                TargetSource::Configuration => {
                    format!("ConfigMap {} resourceVersion {}", self.config_map(), snapshot.version())
                }
            };
            response.audit_annotations.insert("target-namespace-from", source);
        }
        (response, Report::default())
    }

    /// Evaluates the rules with all facts that they need.
    async fn validate(&self, request: &AdmissionRequest<'_>, config: &Config) -> (AdmissionResponse, Report) {
        let known = facts::known_facts();
        let mut report = admission::evaluate(request, &known, config);
        let lookups = admission::lookups(request, &report, &known, config);
        let mut failed: Vec<(Lookup, LookupError)> = Vec::new();
        if !lookups.is_empty() {
            // Boxed, because most reviews need no lookups, and the future of each would have room for them.
            (report, failed) = Box::pin(self.evaluate_with(&lookups, request, config, &report)).await;
        }
        let response = AdmissionResponse::from_report(&request.uid, object_name(request), &report, &failed);
        (response, report)
    }

    /// Evaluates the rules with the results of `lookups`. `before` is the report without them.
    async fn evaluate_with(
        &self,
        lookups: &[Lookup],
        request: &AdmissionRequest<'_>,
        config: &Config,
        before: &Report,
    ) -> (Report, Vec<(Lookup, LookupError)>) {
        let reader = FactReader {
            source: &*self.source,
            user: &request.user,
            begin: Instant::now(),
            limit: self.fact_limit,
            metrics: &self.metrics,
        };
        let evaluate = async |freshness| {
            let (facts, failed) = reader.read_all(lookups, freshness).await;
            (admission::evaluate(request, &facts, config), failed)
        };
        let (report, failed) = evaluate(Freshness::Any).await;
        // The API server's cache may be stale: a finding must not be about something that was fixed a moment ago.
        if failed.is_empty() && report.findings.len() > before.findings.len() {
            return evaluate(Freshness::MostRecent).await;
        }
        (report, failed)
    }

    /// Rejects CNBi's ConfigMap if the configuration in it is invalid. All other ConfigMaps are allowed.
    fn validate_config(&self, body: &[u8]) -> Result<ReviewResult, InvalidReview> {
        let request = admission_request::parse_config_map(body)?;
        let _span = span(Webhook::ValidateConfig, &request).entered();
        let is_ours = request.name == self.configuration.name() && request.namespace == self.configuration.namespace();
        let field = format!("data[{KEY}]");
        let yaml = request.object.data.as_ref().and_then(|data| data.get(KEY));
        let response = match yaml.map(|yaml| Config::from_yaml(yaml)) {
            _ if !is_ours => AdmissionResponse::allow(&request.uid),
            Some(Ok(_)) => AdmissionResponse::allow(&request.uid),
            Some(Err(error)) => {
                let problems: Vec<String> = error.problems().iter().map(Problem::to_string).collect();
                AdmissionResponse::reject_config(&request.uid, &request.name, &field, &problems)
            }
            None => AdmissionResponse::reject_config(&request.uid, &request.name, &field, &["is missing".to_owned()]),
        };
        Ok(self.finish(
            Webhook::ValidateConfig,
            request.operation,
            &response,
            &Report::default(),
        ))
    }

    fn finish(
        &self,
        webhook: Webhook,
        operation: Operation,
        response: &AdmissionResponse,
        report: &Report,
    ) -> ReviewResult {
        let outcome = match &response.status {
            None if response.warnings.is_empty() => "allowed",
            None => "warned",
            Some(status) => match status.code {
                422 => "invalid",
                403 => "forbidden",
                _ => "not_checked",
            },
        };
        let mut rules: Vec<&'static str> = report.findings.iter().map(|finding| finding.rule.id).collect();
        rules.extend(report.not_checked.iter().map(|undecided| undecided.rule.id));
        rules.sort_unstable();
        rules.dedup();
        for rule in &rules {
            self.metrics.rule(webhook.label(), operation.as_str(), outcome, rule);
        }
        tracing::Span::current().record("outcome", outcome);
        if response.allowed {
            tracing::debug!(?rules, "allowed");
        } else {
            tracing::info!(?rules, "denied");
        }
        ReviewResult {
            json: response.to_json(),
            operation,
            outcome,
        }
    }

    fn config_map(&self) -> String {
        format!("{}/{}", self.configuration.namespace(), self.configuration.name())
    }
}

/// The span of a review in the log. All text of the request is escaped.
fn span<O>(webhook: Webhook, request: &AdmissionRequest<'_, O>) -> tracing::Span {
    tracing::info_span!(
        "review",
        webhook = webhook.label(),
        operation = request.operation.as_str(),
        uid = %printable(&request.uid, SHOWN),
        namespace = %printable(&request.namespace, SHOWN),
        name = %printable(&request.name, SHOWN),
        user = %printable(&request.user.username, SHOWN),
        outcome = tracing::field::Empty,
    )
}

/// The name of the object, or its `generateName`.
fn object_name<'r>(request: &'r AdmissionRequest<'_>) -> &'r str {
    let generated = |image: &'r UnvalidatedImage| image.metadata.value()?.generate_name.text();
    let object = &request.object;
    object.name().or_else(|| generated(object)).unwrap_or(&request.name)
}
