//! State, cause and next action of a resource.

use cnbi_shared::api::CustomNBImage;
use cnbi_shared::api::status::{Phase, Status, Step};
use cnbi_shared::contract::{ConditionType, Reason};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::terminal::sanitize;

/// State, cause and next action, sanitized.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The phase, or the current step of a build.
    pub state: &'static str,
    /// Reason and message; for a Ready resource the image.
    pub why: Option<String>,
    /// What the user can do.
    pub next: Option<String>,
}

impl Summary {
    /// Summarizes the status.
    pub fn of(resource: &CustomNBImage) -> Self {
        let pending = |why: &str| Some(why.to_owned());
        let Some(status) = resource.status.as_ref().filter(|status| status.phase.is_some()) else {
            return Self {
                state: "Pending",
                why: pending("not reconciled yet"),
                next: None,
            };
        };
        let mut summary = Self {
            state: state(status),
            ..Self::default()
        };
        let ready = condition(status, ConditionType::Ready);
        match (status.phase, ready) {
            _ if status.observed_generation != resource.metadata.generation => {
                summary.why = pending("the last change is not reconciled yet");
            }
            (Some(Phase::Ready), _) => {
                let image = status.image.as_ref();
                let reference = image.and_then(|image| image.reference.as_deref().or(image.digest.as_deref()));
                summary.why = reference.map(sanitize);
            }
            (Some(Phase::Building), Some(ready)) if ready.status == "Unknown" => {}
            (phase, Some(ready)) => {
                let (why, next) = cause(resource, ready, phase == Some(Phase::Failed));
                summary.why = Some(why);
                summary.next = next;
            }
            (_, None) => {}
        }
        summary
    }
}

fn state(status: &Status) -> &'static str {
    match (status.phase, status.step) {
        (Some(Phase::Ready), _) => "Ready",
        (Some(Phase::Failed), _) => "Failed",
        (Some(Phase::Building), Some(Step::Importing)) => "Importing",
        (Some(Phase::Building), Some(Step::Validating)) => "Validating",
        (Some(Phase::Building), Some(Step::Preparing)) => "Preparing",
        (Some(Phase::Building), _) => "Building",
        (Some(Phase::Pending) | None, _) => "Pending",
    }
}

/// The condition of the given type.
pub(super) fn condition(status: &Status, wanted: ConditionType) -> Option<&Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == wanted.as_str())
}

/// The cause (reason and message), and the action. The controller appends the advice to its messages; it is removed here.
fn cause(resource: &CustomNBImage, ready: &Condition, has_failed: bool) -> (String, Option<String>) {
    let message = sanitize(&ready.message);
    let known = Reason::by_name(&ready.reason);
    let remedy = known.map(Reason::remedy);
    let what = match remedy.and_then(|remedy| message.find(&format!(". {remedy}"))) {
        Some(end) => &message[..end],
        None => message.trim_end_matches('.'),
    };
    let why = format!("{}: {what}", sanitize(&ready.reason));
    let (namespace, name) = (
        sanitize(resource.metadata.namespace.as_deref().unwrap_or_default()),
        sanitize(resource.metadata.name.as_deref().unwrap_or_default()),
    );
    let again = || format!("kubectl annotate cnbi {name} -n {namespace} --overwrite meteor.zone/retry=\"$(date +%s)\"");
    let next = match known {
        None if ready.reason.starts_with("CNB") => Some(format!(
            "fix the manifest and apply it again; for details run: kubectl cnbi explain {}",
            sanitize(&ready.reason)
        )),
        None => None,
        Some(Reason::BuildFailed) => Some(format!(
            "read the log: kubectl cnbi logs {name} -n {namespace}; then change the spec"
        )),
        Some(Reason::Cancelled) => Some(format!("to start it again, run: {}", again())),
        Some(reason) if has_failed && reason.is_temporary() => {
            Some(format!("all retries failed; to retry, run: {}", again()))
        }
        Some(reason) => Some(lowercase_first(reason.remedy())),
    };
    (why, next)
}

fn lowercase_first(sentence: &str) -> String {
    let mut characters = sentence.chars();
    characters
        .next()
        .map(|first| first.to_lowercase().chain(characters).collect())
        .unwrap_or_default()
}

/// The duration between two times, with its two largest units.
pub fn age(from: Timestamp, to: Timestamp) -> String {
    let seconds = (to.as_second() - from.as_second()).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}
