//! Whether a run may be made now, and what stands in the way.

use std::time::Duration;

use cnbi_shared::config::Config;
use cnbi_shared::contract::Reason;
use cnbi_shared::credentials;
use cnbi_shared::facts::{Fact, PullSecret};
use cnbi_shared::grammar::image::ImageReference;
use cnbi_shared::verdict::printable;
use jiff::{SignedDuration, Timestamp};

use super::conditions::Word;
use super::observed::{Observed, Queue, RefusalKind, Stream};
use super::request::{Base, Build, Request};

/// How soon to look again for what nobody tells us about.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How soon to look again for what an admin has to install.
const INSTALL: Duration = Duration::from_secs(30);

/// Why no run is made now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    /// `None`: it is not known yet whether one may be made.
    pub reason: Option<Reason>,
    pub what: String,
    pub again: Option<Duration>,
}

fn obstacle(reason: Reason, what: impl Into<String>, again: Duration) -> Obstacle {
    Obstacle {
        reason: Some(reason),
        what: what.into(),
        again: Some(again),
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
pub(super) fn pull_secret(observed: &Observed, request: &Request, config: &Config, target: &str) -> Option<Word> {
    let name = request.pull_secret.as_deref()?;
    let no = |reason: Reason, what: String| Word::no(reason.as_str(), format!("{what}. {}", reason.advice()));
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
                _ if is_import && target != observed.namespace && !config.pull_secrets.copy_to_target => Word::yes(
                    "SecretNotInTargetNamespace",
                    format!(
                        "OpenShift imports with the Secrets of {target}, where this one is not; where it has to import the image itself, make one there"
                    ),
                ),
                _ => Word::yes("SecretUsable", "The Secret is there and has an entry for the registry"),
            }
        }
    })
}

/// What stands in the way of a run of that name, if anything does.
pub(super) fn obstacle_to(
    observed: &Observed,
    request: &Request,
    config: &Config,
    target: &str,
    run: &str,
    now: Timestamp,
) -> Option<Obstacle> {
    if !config.allows_target(target, Some(&observed.namespace)) {
        let what = format!(
            "Resources of {} may not use the target namespace {target}",
            observed.namespace
        );
        return Some(permanent(Reason::TargetNamespaceNotAllowed, what));
    }
    if pulled_image(request, config).is_err() {
        let what = "The catalog has no image for spec.runtimeEnvironment";
        return Some(permanent(Reason::RuntimeEnvironmentUnknown, what));
    }
    if observed.runs.iter().any(|run| !run.has_ended()) {
        return Some(Obstacle {
            reason: None,
            what: "The run of an earlier generation is being ended".to_owned(),
            again: None,
        });
    }
    if request.pull_secret.is_some() {
        let Some(word) = pull_secret(observed, request, config, target) else {
            return Some(Obstacle {
                reason: None,
                what: "Nobody could look for the pull Secret yet".to_owned(),
                again: Some(LOOK_AGAIN),
            });
        };
        if let Some(reason) = Reason::by_name(&word.reason) {
            return Some(obstacle(reason, first_sentence(&word.message), LOOK_AGAIN));
        }
    }
    installed(observed, config, target)
        .or_else(|| turn(observed, config))
        .or_else(|| refused(observed, config, run, now))
}

fn permanent(reason: Reason, what: impl Into<String>) -> Obstacle {
    Obstacle {
        reason: Some(reason),
        what: what.into(),
        again: None,
    }
}

fn first_sentence(message: &str) -> &str {
    message.split(". ").next().unwrap_or(message)
}

fn installed(observed: &Observed, config: &Config, target: &str) -> Option<Obstacle> {
    let namespace = config.pipelines.namespace_of_runs(&observed.namespace);
    let installed = observed.installed;
    if !installed.api {
        return Some(obstacle(
            Reason::PipelineNotInstalled,
            "The cluster has no Tekton Pipelines",
            INSTALL,
        ));
    }
    if !installed.namespace {
        return Some(obstacle(
            Reason::BuildNamespaceMissing,
            format!("There is no namespace {namespace}"),
            INSTALL,
        ));
    }
    if !installed.pipeline {
        return Some(obstacle(
            Reason::PipelineNotInstalled,
            format!("The pipeline is not there in {namespace}"),
            INSTALL,
        ));
    }
    if !installed.accounts {
        return Some(obstacle(
            Reason::BuildAccountMissing,
            format!("A service account of the tasks is not there in {namespace}"),
            INSTALL,
        ));
    }
    if let Some(missing) = &observed.missing_input {
        return Some(obstacle(
            Reason::BuildInputMissing,
            format!("There is no {missing} in {namespace}, which the configuration names"),
            INSTALL,
        ));
    }
    match observed.stream {
        Stream::ApiMissing => Some(obstacle(
            Reason::ImageStreamApiMissing,
            format!("There can be no ImageStreams in {target}"),
            INSTALL,
        )),
        Stream::Foreign => Some(permanent(
            Reason::ImageStreamConflict,
            format!("The ImageStream {target}/{} belongs to somebody else", observed.name),
        )),
        Stream::Unknown | Stream::Absent | Stream::Ours { .. } => None,
    }
}

fn turn(observed: &Observed, config: &Config) -> Option<Obstacle> {
    let Queue {
        running,
        running_in_namespace,
        ahead,
        ahead_in_namespace,
    } = observed.queue;
    let limits = config.pipelines.max_concurrent;
    let is_full = running.saturating_add(ahead) >= limits.total
        || running_in_namespace.saturating_add(ahead_in_namespace) >= limits.per_namespace;
    // Without the numbers: they change all the time, and every change would be a write.
    is_full.then(|| Obstacle {
        reason: Some(Reason::Queued),
        what: "As many runs as may be are under way or before this one".to_owned(),
        again: Some(LOOK_AGAIN),
    })
}

fn refused(observed: &Observed, config: &Config, run: &str, now: Timestamp) -> Option<Obstacle> {
    let refusal = observed.refusal.as_ref();
    let refusal = refusal.filter(|refusal| refusal.run == run && refusal.retry == observed.retry)?;
    let what = format!(
        "The API server did not take the run: {}",
        printable(&refusal.message, 500)
    );
    let reason = match refusal.kind {
        RefusalKind::Invalid => return Some(permanent(Reason::PipelineInvalid, what)),
        RefusalKind::Quota => Reason::QuotaExceeded,
        RefusalKind::Other => Reason::PipelineRunCreateFailed,
    };
    let left = left(refusal.at, wait(config, refusal.times, run), now)?;
    Some(obstacle(reason, what, left))
}

/// How long to wait after so many failures in a row, from 1. `name` spreads those that failed together over a quarter of
/// the wait.
pub(super) fn wait(config: &Config, failures: u32, name: &str) -> Duration {
    let retry = &config.retry;
    let doubled = retry
        .base
        .as_duration()
        .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    let wait = doubled.min(retry.max.as_duration());
    // A name ends with a hash, so its last characters are as good as random and the same for all who ask.
    let spread = name
        .bytes()
        .rev()
        .take(4)
        .fold(0_u32, |sum, byte| sum * 31 + u32::from(byte))
        % 1000;
    wait + wait / 4 * spread / 1000
}

/// What is left of a wait that began then; `None` once it is over. A clock that has been set back makes no wait longer.
pub(super) fn left(began: Timestamp, wait: Duration, now: Timestamp) -> Option<Duration> {
    let passed = now.duration_since(began).max(SignedDuration::ZERO).unsigned_abs();
    wait.checked_sub(passed).filter(|left| !left.is_zero())
}
