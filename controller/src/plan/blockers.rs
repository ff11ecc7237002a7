//! Whether a run can be created now, and what blocks it.

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

/// How often to check objects that are not watched.
const RECHECK_INTERVAL: Duration = Duration::from_secs(10);

/// How often to check prerequisites that an admin has to install.
const INSTALL_RECHECK_INTERVAL: Duration = Duration::from_secs(30);

/// Why no run can be created now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blocker {
    /// `None` if that is not known yet.
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

/// The input image of the build. An error if the catalog has no image for the runtime environment.
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
            let requested = (os_name, os_version, python_version);
            let mut catalog = config.runtime_environments.iter();
            let entry = catalog.find(|entry| (&entry.os_name, &entry.os_version, &entry.python_version) == requested);
            entry.map(|entry| Some(entry.builder_image.clone())).ok_or(())
        }
        Build::Git { builder, .. } => Ok(builder.as_ref().map(text)),
    }
}

/// The condition `PullSecretReady`. `None` if the Secret has not been read.
pub(super) fn pull_secret_condition(
    observed: &ObservedState,
    request: &Request,
    config: &Config,
    target: &str,
) -> Option<ConditionValue> {
    let name = request.pull_secret.as_deref()?;
    let no = |reason: Reason, message: String| {
        ConditionValue::no(reason.as_str(), format!("{message}. {}", reason.remedy()))
    };
    Some(match &observed.secret {
        Fact::Unknown => return None,
        Fact::Absent => no(
            Reason::RequiredSecretMissing,
            format!("Secret {}/{name} not found", observed.namespace),
        ),
        Fact::Known(PullSecret::WrongType) => no(
            Reason::SecretTypeInvalid,
            format!(
                "Secret {}/{name} is not of a type for registry credentials",
                observed.namespace
            ),
        ),
        Fact::Known(PullSecret::Unreadable) => no(
            Reason::SecretTypeInvalid,
            format!("The content of Secret {}/{name} is not valid", observed.namespace),
        ),
        Fact::Known(PullSecret::Registries(entries)) => {
            let image = pulled_image(request, config).ok().flatten();
            let image = image.and_then(|image| ImageReference::parse(&image).ok());
            let is_import = matches!(request.build, Build::Import { .. });
            match image {
                Some(image) if !credentials::any_entry_matches(entries, &image) => no(
                    Reason::NoCredentialsForRegistry,
                    format!(
                        "Secret {}/{name} has no entry for {}",
                        observed.namespace,
                        printable(credentials::registry_host(&image), 253)
                    ),
                ),
                _ if is_import && target != observed.namespace && !config.pull_secrets.copy_to_target => {
                    ConditionValue::yes(
                        "SecretNotInTargetNamespace",
                        format!(
                            "The pull secret exists, but not in the target namespace {target}. If OpenShift has to import the image itself, create a pull secret in {target}"
                        ),
                    )
                }
                _ => ConditionValue::yes("SecretUsable", "The pull secret has an entry for the registry"),
            }
        }
    })
}

/// What blocks a run of that name, if anything does.
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
            "Namespace {} is not allowed to use the target namespace {target}",
            observed.namespace
        );
        return Some(permanent(Reason::TargetNamespaceNotAllowed, message));
    }
    if pulled_image(request, config).is_err() {
        let message = "No image is configured for spec.runtimeEnvironment";
        return Some(permanent(Reason::RuntimeEnvironmentUnknown, message));
    }
    if observed.runs.iter().any(|run| !run.has_ended()) {
        return Some(Blocker {
            reason: None,
            message: "Waiting for the run of an earlier generation to be cancelled".to_owned(),
            requeue: None,
        });
    }
    if request.pull_secret.is_some() {
        let Some(value) = pull_secret_condition(observed, request, config, target) else {
            return Some(Blocker {
                reason: None,
                message: "The pull secret has not been checked yet".to_owned(),
                requeue: Some(RECHECK_INTERVAL),
            });
        };
        if let Some(reason) = Reason::by_name(&value.reason) {
            return Some(blocker(reason, first_sentence(&value.message), RECHECK_INTERVAL));
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
    let namespace = config.pipelines.run_namespace_for(&observed.namespace);
    let prerequisites = observed.prerequisites;
    if !prerequisites.api {
        return Some(blocker(
            Reason::PipelineNotInstalled,
            "Tekton Pipelines is not installed",
            INSTALL_RECHECK_INTERVAL,
        ));
    }
    if !prerequisites.namespace {
        return Some(blocker(
            Reason::BuildNamespaceMissing,
            format!("Build namespace {namespace} not found"),
            INSTALL_RECHECK_INTERVAL,
        ));
    }
    if !prerequisites.pipeline {
        return Some(blocker(
            Reason::PipelineNotInstalled,
            format!("The pipeline is not installed in namespace {namespace}"),
            INSTALL_RECHECK_INTERVAL,
        ));
    }
    if !prerequisites.accounts {
        return Some(blocker(
            Reason::BuildAccountMissing,
            format!("A service account of the tasks is missing in namespace {namespace}"),
            INSTALL_RECHECK_INTERVAL,
        ));
    }
    if let Some(missing) = &observed.missing_input {
        return Some(blocker(
            Reason::BuildInputMissing,
            format!("{missing} from the configuration not found in namespace {namespace}"),
            INSTALL_RECHECK_INTERVAL,
        ));
    }
    match observed.stream {
        ImageStreamState::ApiMissing => Some(blocker(
            Reason::ImageStreamApiMissing,
            format!("Namespace {target} does not exist, or the cluster does not serve ImageStreams"),
            INSTALL_RECHECK_INTERVAL,
        )),
        ImageStreamState::Foreign => Some(permanent(
            Reason::ImageStreamConflict,
            format!(
                "ImageStream {target}/{} exists and belongs to another resource",
                observed.name
            ),
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
    // No numbers: each change of them would write the status.
    is_full.then(|| Blocker {
        reason: Some(Reason::Queued),
        message: "Queued: the limit of concurrent builds is reached".to_owned(),
        requeue: Some(RECHECK_INTERVAL),
    })
}

fn rejected(observed: &ObservedState, config: &Config, run: &str, now: Timestamp) -> Option<Blocker> {
    let rejection = observed.rejection.as_ref();
    let rejection = rejection.filter(|rejection| rejection.run == run && rejection.retry == observed.retry)?;
    let message = format!(
        "The API server rejected the PipelineRun: {}",
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

/// The delay after so many failures in a row, from 1. `name` spreads runs that failed at the same time over a quarter of the
/// delay.
pub(super) fn retry_delay(config: &Config, failures: u32, name: &str) -> Duration {
    let retry = &config.retry;
    let doubled = retry
        .base
        .as_duration()
        .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    let delay = doubled.min(retry.max.as_duration());
    // Names end with a hash.
    let spread = name
        .bytes()
        .rev()
        .take(4)
        .fold(0_u32, |sum, byte| sum * 31 + u32::from(byte))
        % 1000;
    delay + delay / 4 * spread / 1000
}

/// The rest of a delay that began at `began`; `None` once it is over. A clock that was set back does not extend it.
pub(super) fn remaining(began: Timestamp, delay: Duration, now: Timestamp) -> Option<Duration> {
    let passed = now.duration_since(began).max(SignedDuration::ZERO).unsigned_abs();
    delay.checked_sub(passed).filter(|remaining| !remaining.is_zero())
}
