//! Whether a run may be made now, and what stands in the way.

use std::time::Duration;

use cnbi_shared::config::Config;
use cnbi_shared::contract::Reason;
use cnbi_shared::credentials;
use cnbi_shared::facts::{Fact, PullSecret};
use cnbi_shared::grammar::image::ImageReference;
use cnbi_shared::verdict::printable;
use jiff::{SignedDuration, Timestamp};

use super::conditions::ConditionValue;
use super::observed::{ImageStreamState, ObservedState, QueuePosition, RejectionKind};
use super::request::{Base, Build, Request};

/// How soon to look again for what nobody tells us about.
const RECHECK_INTERVAL: Duration = Duration::from_secs(10);

/// How soon to look again for what an admin has to install.
const INSTALL_RECHECK_INTERVAL: Duration = Duration::from_secs(30);

/// Why no run is made now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blocker {
    /// `None`: it is not known yet whether one may be made.
    pub reason: Option<Reason>,
    pub message: String,
    pub requeue: Option<Duration>,
}

fn blocker(reason: Reason, message: impl Into<String>, requeue: Duration) -> Blocker {
    Blocker {
        reason: Some(reason),
        message: message.into(),
        requeue: Some(requeue),
    }
}

/// The image that the build pulls as its input. An error where the catalog knows no image for the environment.
pub(super) fn pulled_image(request: &Request, config: &Config) -> Result<Option<String>, ()> {
    let text = |image: &ImageReference| image.as_str().to_owned();
    match &request.build {
        Build::Import { from_image } => Ok(Some(text(from_image))),
        Build::Packages {
            base: Base::Image(image),
            ..
        } => Ok(Some(text(image))),
        Build::Packages {
            base:
                Base::Environment {
                    os_name,
                    os_version,
                    python_version,
                },
            ..
        } => {
            let asked = (os_name, os_version, python_version);
            let mut catalog = config.runtime_environments.iter();
            let entry = catalog.find(|entry| (&entry.os_name, &entry.os_version, &entry.python_version) == asked);
            entry.map(|entry| Some(entry.builder_image.clone())).ok_or(())
        }
        Build::Git { builder, .. } => Ok(builder.as_ref().map(text)),
    }
}

/// What the condition of the pull Secret says. `None` where nobody has looked.
pub(super) fn pull_secret_condition(
    observed: &ObservedState,
    request: &Request,
    config: &Config,
    target: &str,
) -> Option<ConditionValue> {
    let name = request.pull_secret.as_deref()?;
    let no = |reason: Reason, message: String| {
        ConditionValue::no(reason.as_str(), format!("{message}. {}", reason.advice()))
    };
    Some(match &observed.secret {
        Fact::Unknown => return None,
        Fact::Absent => no(
            Reason::RequiredSecretMissing,
            format!("There is no Secret {name} in {}", observed.namespace),
        ),
        Fact::Known(PullSecret::WrongType) => no(
            Reason::SecretTypeInvalid,
            format!("The Secret {name} is not of a type for registry credentials"),
        ),
        Fact::Known(PullSecret::Unreadable) => no(
            Reason::SecretTypeInvalid,
            format!("The content of the Secret {name} cannot be read"),
        ),
        Fact::Known(PullSecret::Registries(entries)) => {
            let image = pulled_image(request, config).ok().flatten();
            let image = image.and_then(|image| ImageReference::parse(&image).ok());
            let is_import = matches!(request.build, Build::Import { .. });
            match image {
                Some(image) if !credentials::answer_for(entries, &image) => no(
                    Reason::NoCredentialsForRegistry,
                    format!(
                        "The Secret {name} has no entry for {}",
                        printable(credentials::registry(&image), 253)
                    ),
                ),
                _ if is_import && target != observed.namespace && !config.pull_secrets.copy_to_target => {
                    ConditionValue::yes(
                        "SecretNotInTargetNamespace",
                        format!(
                            "OpenShift imports with the Secrets of {target}, where this one is not; where it has to import the image itself, make one there"
                        ),
                    )
                }
                _ => ConditionValue::yes("SecretUsable", "The Secret is there and has an entry for the registry"),
            }
        }
    })
}

/// What stands in the way of a run of that name, if anything does.
pub(super) fn blocker_for(
    observed: &ObservedState,
    request: &Request,
    config: &Config,
    target: &str,
    run: &str,
    now: Timestamp,
) -> Option<Blocker> {
    if !config.allows_target(target, Some(&observed.namespace)) {
        let message = format!(
            "Resources of {} may not use the target namespace {target}",
            observed.namespace
        );
        return Some(permanent(Reason::TargetNamespaceNotAllowed, message));
    }
    if pulled_image(request, config).is_err() {
        let message = "The catalog has no image for spec.runtimeEnvironment";
        return Some(permanent(Reason::RuntimeEnvironmentUnknown, message));
    }
    if observed.runs.iter().any(|run| !run.has_ended()) {
        return Some(Blocker {
            reason: None,
            message: "The run of an earlier generation is being ended".to_owned(),
            requeue: None,
        });
    }
    if request.pull_secret.is_some() {
        let Some(word) = pull_secret_condition(observed, request, config, target) else {
            return Some(Blocker {
                reason: None,
                message: "Nobody could look for the pull Secret yet".to_owned(),
                requeue: Some(RECHECK_INTERVAL),
            });
        };
        if let Some(reason) = Reason::by_name(&word.reason) {
            return Some(blocker(reason, first_sentence(&word.message), RECHECK_INTERVAL));
        }
    }
    prerequisites(observed, config, target)
        .or_else(|| queued(observed, config))
        .or_else(|| rejected(observed, config, run, now))
}

fn permanent(reason: Reason, message: impl Into<String>) -> Blocker {
    Blocker {
        reason: Some(reason),
        message: message.into(),
        requeue: None,
    }
}

fn first_sentence(message: &str) -> &str {
    message.split(". ").next().unwrap_or(message)
}

fn prerequisites(observed: &ObservedState, config: &Config, target: &str) -> Option<Blocker> {
    let namespace = config.pipelines.namespace_of_runs(&observed.namespace);
    let prerequisites = observed.prerequisites;
    if !prerequisites.api {
        return Some(blocker(
            Reason::PipelineNotInstalled,
            "The cluster has no Tekton Pipelines",
            INSTALL_RECHECK_INTERVAL,
        ));
    }
    if !prerequisites.namespace {
        return Some(blocker(
            Reason::BuildNamespaceMissing,
            format!("There is no namespace {namespace}"),
            INSTALL_RECHECK_INTERVAL,
        ));
    }
    if !prerequisites.pipeline {
        return Some(blocker(
            Reason::PipelineNotInstalled,
            format!("The pipeline is not there in {namespace}"),
            INSTALL_RECHECK_INTERVAL,
        ));
    }
    if !prerequisites.accounts {
        return Some(blocker(
            Reason::BuildAccountMissing,
            format!("A service account of the tasks is not there in {namespace}"),
            INSTALL_RECHECK_INTERVAL,
        ));
    }
    if let Some(missing) = &observed.missing_input {
        return Some(blocker(
            Reason::BuildInputMissing,
            format!("There is no {missing} in {namespace}, which the configuration names"),
            INSTALL_RECHECK_INTERVAL,
        ));
    }
    match observed.stream {
        ImageStreamState::ApiMissing => Some(blocker(
            Reason::ImageStreamApiMissing,
            format!("There can be no ImageStreams in {target}"),
            INSTALL_RECHECK_INTERVAL,
        )),
        ImageStreamState::Foreign => Some(permanent(
            Reason::ImageStreamConflict,
            format!("The ImageStream {target}/{} belongs to somebody else", observed.name),
        )),
        ImageStreamState::Unknown | ImageStreamState::Absent | ImageStreamState::Owned { .. } => None,
    }
}

fn queued(observed: &ObservedState, config: &Config) -> Option<Blocker> {
    let QueuePosition {
        running,
        running_in_namespace,
        ahead,
        ahead_in_namespace,
    } = observed.queue;
    let limits = config.pipelines.max_concurrent;
    let is_full = running.saturating_add(ahead) >= limits.total
        || running_in_namespace.saturating_add(ahead_in_namespace) >= limits.per_namespace;
    // Without the numbers: they change all the time, and every change would be a write.
    is_full.then(|| Blocker {
        reason: Some(Reason::Queued),
        message: "As many runs as may be are under way or before this one".to_owned(),
        requeue: Some(RECHECK_INTERVAL),
    })
}

fn rejected(observed: &ObservedState, config: &Config, run: &str, now: Timestamp) -> Option<Blocker> {
    let rejection = observed.rejection.as_ref();
    let rejection = rejection.filter(|rejection| rejection.run == run && rejection.retry == observed.retry)?;
    let message = format!(
        "The API server did not take the run: {}",
        printable(&rejection.message, 500)
    );
    let reason = match rejection.kind {
        RejectionKind::Invalid => return Some(permanent(Reason::PipelineInvalid, message)),
        RejectionKind::Quota => Reason::QuotaExceeded,
        RejectionKind::Other => Reason::PipelineRunCreateFailed,
    };
    let remaining = remaining(rejection.at, retry_delay(config, rejection.times, run), now)?;
    Some(blocker(reason, message, remaining))
}

/// How long to wait after so many failures in a row, from 1. `name` spreads those that failed together over a quarter of
/// the wait.
pub(super) fn retry_delay(config: &Config, failures: u32, name: &str) -> Duration {
    let retry = &config.retry;
    let doubled = retry
        .base
        .as_duration()
        .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    let retry_delay = doubled.min(retry.max.as_duration());
    // A name ends with a hash, so its last characters are as good as random and the same for all who ask.
    let spread = name
        .bytes()
        .rev()
        .take(4)
        .fold(0_u32, |sum, byte| sum * 31 + u32::from(byte))
        % 1000;
    retry_delay + retry_delay / 4 * spread / 1000
}

/// What is left of a wait that began then; `None` once it is over. A clock that has been set back makes no wait longer.
pub(super) fn remaining(began: Timestamp, retry_delay: Duration, now: Timestamp) -> Option<Duration> {
    let passed = now.duration_since(began).max(SignedDuration::ZERO).unsigned_abs();
    retry_delay.checked_sub(passed).filter(|remaining| !remaining.is_zero())
}
