//! Answers one review: reads it, gathers the facts it hangs on, and says what [`crate::admit`] made of them.
//!
//! Knows nothing of HTTP. Every review gets a span of its own, a line in the log and its metrics here.

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

use crate::admit::{self, TargetSource};
use crate::facts::{self, FactSource, Freshness, Reader, Unread};
use crate::metrics::Metrics;
use crate::respond::Response;
use crate::review::{self, NotOurs, Operation, Question};

/// Most characters of a name in the log.
const SHOWN: usize = 253;

/// One of the paths that the API server calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Webhook {
    /// Fills in defaults; see [`Reviewer::mutate`].
    Mutate,
    /// Judges the final object; see [`Reviewer::validate`].
    Validate,
    /// Judges a configuration; see [`Reviewer::validate_config`].
    ValidateConfig,
}

impl Webhook {
    /// The label of a metric, and the name in the log.
    pub fn label(self) -> &'static str {
        match self {
            Self::Mutate => "mutate",
            Self::Validate => "validate",
            Self::ValidateConfig => "validate-config",
        }
    }
}

/// An answer on its way out.
#[derive(Debug)]
pub struct Answer {
    /// The body.
    pub json: Vec<u8>,
    /// What was asked about.
    pub operation: Operation,
    /// What came of it, for metrics.
    pub outcome: &'static str,
}

/// Answers reviews.
pub struct Reviewer {
    /// The configuration in force.
    pub configuration: Arc<Configuration>,
    /// Knows the cluster.
    pub source: Arc<dyn FactSource>,
    /// What Prometheus is told.
    pub metrics: Arc<Metrics>,
    /// How long the facts of one review may take.
    pub fact_limit: Duration,
}

impl Reviewer {
    /// Answers the review in `body`.
    pub async fn answer(&self, webhook: Webhook, body: &[u8]) -> Result<Answer, NotOurs> {
        if webhook == Webhook::ValidateConfig {
            return self.validate_config(body);
        }
        let mut question = review::read(body)?;
        let span = span(webhook, &question);
        let answered = async {
            let operation = question.operation;
            let snapshot = self.configuration.snapshot();
            let Some(config) = snapshot.config() else {
                let why = snapshot.problem().unwrap_or_default();
                let message = format!(
                    "cnbi-webhook has no configuration: ConfigMap {}: {why}",
                    self.config_map()
                );
                let response = Response::unavailable(&question.uid, message);
                return self.finish(webhook, operation, &response, &Report::default());
            };
            let (mut response, report) = match webhook {
                Webhook::Mutate => self.mutate(&mut question, &snapshot, config).await,
                _ => self.validate(&question, config).await,
            };
            if let Some(problem) = snapshot.problem() {
                let map = self.config_map();
                response.warn(&format!(
                    "ConfigMap {map} is not valid, the last good one is in force: {problem}"
                ));
            }
            self.finish(webhook, operation, &response, &report)
        };
        Ok(answered.instrument(span).await)
    }

    /// Fills in defaults. Denies only what the schema would refuse before `/validate` is asked, and then says everything.
    async fn mutate(
        &self,
        question: &mut Question<'_>,
        snapshot: &ActiveConfig,
        config: &Config,
    ) -> (Response, Report) {
        let defaulted = admit::default(question, config);
        let report = admit::judge(question, &facts::at_hand(), config);
        if admit::would_never_be_validated(&report) {
            return self.validate(question, config).await;
        }
        let mut response = Response::allow(&question.uid).with_patch(defaulted.patch.as_ref());
        if let Some(source) = defaulted.target_source {
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

    /// Judges the object with all facts that the rules in force need for it.
    async fn validate(&self, question: &Question<'_>, config: &Config) -> (Response, Report) {
        let known = facts::at_hand();
        let mut report = admit::judge(question, &known, config);
        let needs = admit::needs(question, &report, &known, config);
        let mut unread: Vec<(Lookup, Unread)> = Vec::new();
        if !needs.is_empty() {
            // Apart, because most reviews need nothing, and all would carry the room for it.
            (report, unread) = Box::pin(self.look(question, config, &needs, &report)).await;
        }
        let response = Response::from_report(&question.uid, object_name(question), &report, &unread);
        (response, report)
    }

    /// Judges the object with what is found out about `needs`. `before` is the report without.
    async fn look(
        &self,
        question: &Question<'_>,
        config: &Config,
        needs: &[Lookup],
        before: &Report,
    ) -> (Report, Vec<(Lookup, Unread)>) {
        let reader = Reader {
            source: &*self.source,
            user: &question.user,
            begin: Instant::now(),
            limit: self.fact_limit,
            metrics: &self.metrics,
        };
        let judge = async |freshness| {
            let (facts, unread) = reader.gather(needs, freshness).await;
            (admit::judge(question, &facts, config), unread)
        };
        let (report, unread) = judge(Freshness::Any).await;
        // Nothing is held against anybody that may have been put right a moment ago.
        if unread.is_empty() && report.findings.len() > before.findings.len() {
            return judge(Freshness::MostRecent).await;
        }
        (report, unread)
    }

    /// Refuses our ConfigMap when what it says cannot be taken. Every other ConfigMap is none of our business.
    fn validate_config(&self, body: &[u8]) -> Result<Answer, NotOurs> {
        let question = review::read_config_map(body)?;
        let _span = span(Webhook::ValidateConfig, &question).entered();
        let is_ours =
            question.name == self.configuration.name() && question.namespace == self.configuration.namespace();
        let field = format!("data[{KEY}]");
        let yaml = question.object.data.as_ref().and_then(|data| data.get(KEY));
        let response = match yaml.map(|yaml| Config::from_yaml(yaml)) {
            _ if !is_ours => Response::allow(&question.uid),
            Some(Ok(_)) => Response::allow(&question.uid),
            Some(Err(error)) => {
                let problems: Vec<String> = error.problems().iter().map(Problem::to_string).collect();
                Response::refuse_config(&question.uid, &question.name, &field, &problems)
            }
            None => Response::refuse_config(&question.uid, &question.name, &field, &["is missing".to_owned()]),
        };
        Ok(self.finish(
            Webhook::ValidateConfig,
            question.operation,
            &response,
            &Report::default(),
        ))
    }

    fn finish(&self, webhook: Webhook, operation: Operation, response: &Response, report: &Report) -> Answer {
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
        rules.extend(report.undecided.iter().map(|undecided| undecided.rule.id));
        rules.sort_unstable();
        rules.dedup();
        for rule in &rules {
            self.metrics.rule(webhook.label(), operation.as_str(), outcome, rule);
        }
        tracing::Span::current().record("outcome", outcome);
        if response.allowed {
            tracing::debug!(?rules, "answered");
        } else {
            tracing::info!(?rules, "denied");
        }
        Answer {
            json: response.to_json(),
            operation,
            outcome,
        }
    }

    fn config_map(&self) -> String {
        format!("{}/{}", self.configuration.namespace(), self.configuration.name())
    }
}

/// What the log says of a review, with every text of somebody else's made safe to print.
fn span<O>(webhook: Webhook, question: &Question<'_, O>) -> tracing::Span {
    tracing::info_span!(
        "review",
        webhook = webhook.label(),
        operation = question.operation.as_str(),
        uid = %printable(&question.uid, SHOWN),
        namespace = %printable(&question.namespace, SHOWN),
        name = %printable(&question.name, SHOWN),
        user = %printable(&question.user.username, SHOWN),
        outcome = tracing::field::Empty,
    )
}

/// The object's name; or what one will be made of.
fn object_name<'q>(question: &'q Question<'_>) -> &'q str {
    let generated = |draft: &'q UnvalidatedImage| draft.metadata.value()?.generate_name.text();
    let object = &question.object;
    object.name().or_else(|| generated(object)).unwrap_or(&question.name)
}
