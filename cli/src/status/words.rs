//! A resource in a few words: how it stands, why, and what to do about it.

use cnbi_shared::api::CustomNBImage;
use cnbi_shared::api::status::{Phase, Status, Step};
use cnbi_shared::contract::{ConditionType, Reason};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::super::terminal::safe;

/// A resource in a few words, safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// How it stands.
    pub state: String,
    /// Why, where that needs saying; the image where there is one to use.
    pub why: Option<String>,
    /// What to do now, where there is anything.
    pub next: Option<String>,
}

impl Words {
    /// What the status says.
    pub fn of(resource: &CustomNBImage) -> Self {
        let Some(status) = resource.status.as_ref().filter(|status| status.phase.is_some()) else {
            return Self {
                state: "Pending".to_owned(),
                why: Some("the controller has not looked at it yet".to_owned()),
                next: None,
            };
        };
        let state = state(status).to_owned();
        if status.observed_generation != resource.metadata.generation {
            return Self {
                state,
                why: Some("the controller has not looked at the last change yet".to_owned()),
                next: None,
            };
        }
        let ready = condition(status, ConditionType::Ready);
        match (status.phase, ready) {
            (Some(Phase::Ready), _) => {
                let image = status.image.as_ref();
                let reference = image.and_then(|image| image.reference.as_deref().or(image.digest.as_deref()));
                let (why, next) = (reference.map(safe), None);
                Self { state, why, next }
            }
            (Some(Phase::Building), Some(ready)) if ready.status == "Unknown" => {
                let (why, next) = (None, None);
                Self { state, why, next }
            }
            (phase, Some(ready)) => {
                let (why, next) = cause(resource, ready, phase == Some(Phase::Failed));
                let why = Some(why);
                Self { state, why, next }
            }
            (_, None) => {
                let (why, next) = (None, None);
                Self { state, why, next }
            }
        }
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

/// The condition of that type.
pub(super) fn condition(status: &Status, wanted: ConditionType) -> Option<&Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == wanted.as_str())
}

/// Reason and message without what to do about it, and that apart.
fn cause(resource: &CustomNBImage, ready: &Condition, has_failed: bool) -> (String, Option<String>) {
    let message = safe(&ready.message);
    let known = Reason::by_name(&ready.reason);
    let advice = known.map(Reason::advice);
    // The controller ends its messages with the advice.
    let what = match advice.and_then(|advice| message.find(&format!(". {advice}"))) {
        Some(end) => &message[..end],
        None => message.trim_end_matches('.'),
    };
    let why = format!("{}: {what}", safe(&ready.reason));
    let (namespace, name) = (
        safe(resource.metadata.namespace.as_deref().unwrap_or_default()),
        safe(resource.metadata.name.as_deref().unwrap_or_default()),
    );
    let again = || format!("kubectl annotate cnbi {name} -n {namespace} --overwrite meteor.zone/retry=\"$(date +%s)\"");
    let next = match known {
        None if ready.reason.starts_with("CNB") => Some(format!(
            "correct the manifest and apply it again; about the rule: kubectl cnbi explain {}",
            safe(&ready.reason)
        )),
        None => None,
        Some(Reason::BuildFailed) => Some(format!(
            "read the whole log: kubectl cnbi logs {name} -n {namespace}; then change the spec"
        )),
        Some(Reason::Cancelled) => Some(format!("start it again: {}", again())),
        Some(reason) if has_failed && reason.is_temporary() => {
            Some(format!("it was tried often enough; to try again: {}", again()))
        }
        Some(reason) => Some(lowered(reason.advice())),
    };
    (why, next)
}

fn lowered(sentence: &str) -> String {
    let mut characters = sentence.chars();
    characters
        .next()
        .map(|first| first.to_lowercase().chain(characters).collect())
        .unwrap_or_default()
}

/// How long ago something was, or how long it has taken.
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
