//! The conditions of a new status.

use std::collections::BTreeMap;

use cnbi_shared::api::{BuildType, Status};
use cnbi_shared::contract::ConditionType;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Status, reason and message of one condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConditionValue {
    pub status: &'static str,
    pub reason: String,
    pub message: String,
}

impl ConditionValue {
    pub(super) fn yes(reason: &str, message: impl Into<String>) -> Self {
        Self::new("True", reason, message)
    }

    pub(super) fn no(reason: &str, message: impl Into<String>) -> Self {
        Self::new("False", reason, message)
    }

    pub(super) fn unknown(reason: &str, message: impl Into<String>) -> Self {
        Self::new("Unknown", reason, message)
    }

    fn new(status: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }
}

/// All conditions that apply to a resource.
#[derive(Clone, Debug)]
pub(super) struct Conditions(BTreeMap<ConditionType, ConditionValue>);

impl Conditions {
    /// All conditions that apply, `Unknown`. `build_type` is `None` for an invalid resource.
    pub(super) fn new(build_type: Option<BuildType>, has_pull_secret: bool) -> Self {
        let applies = |condition: &ConditionType| match build_type {
            Some(build_type) => condition.applies_to(build_type, has_pull_secret),
            None => cnbi_shared::contract::COMMON_CONDITIONS.contains(condition),
        };
        let pending = ConditionValue::unknown("Pending", "Waiting for the previous steps");
        Self(
            ConditionType::ALL
                .into_iter()
                .filter(applies)
                .map(|condition| (condition, pending.clone()))
                .collect(),
        )
    }

    /// Sets a condition, if it applies.
    pub(super) fn set(&mut self, condition: ConditionType, value: ConditionValue) {
        if let Some(existing) = self.0.get_mut(&condition) {
            *existing = value;
        }
    }

    pub(super) fn get(&self, condition: ConditionType) -> Option<&ConditionValue> {
        self.0.get(&condition)
    }

    /// Converts to the API type. `lastTransitionTime` changes only with the status of a condition.
    pub(super) fn conditions(self, before: Option<&Status>, generation: i64, now: Timestamp) -> Vec<Condition> {
        let since = |condition: ConditionType, status: &str| {
            reported(before, condition)
                .filter(|before| before.status == status)
                .map_or_else(|| whole_seconds(now), |before| before.last_transition_time.clone())
        };
        self.0
            .into_iter()
            .map(|(condition, value)| Condition {
                type_: condition.as_str().to_owned(),
                status: value.status.to_owned(),
                reason: value.reason,
                message: value.message,
                observed_generation: Some(generation),
                last_transition_time: since(condition, value.status),
            })
            .collect()
    }
}

/// A condition of the stored status.
pub(super) fn reported(before: Option<&Status>, condition: ConditionType) -> Option<&Condition> {
    before?
        .conditions
        .iter()
        .find(|existing| existing.type_ == condition.as_str())
}

/// Kubernetes stores times without fractions of a second.
pub(super) fn whole_seconds(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}
