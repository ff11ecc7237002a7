//! What is said while there is no configuration to decide by. Pure.

use cnbi_shared::api::Status;
use cnbi_shared::contract::ConditionType;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::watch::stored::Stored;

/// The status to write; `None` where something was decided before: that is better than nothing.
pub fn unconfigured(resource: &Stored, now: Timestamp) -> Option<Status> {
    let is_said = resource.status.iter().any(|status| {
        let mut said = status.conditions.iter();
        said.any(|condition| condition.type_ == ConditionType::WellFormed.as_str())
    });
    if is_said || resource.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let generation = resource.metadata.generation;
    Some(Status {
        observed_generation: generation,
        conditions: vec![Condition {
            type_: ConditionType::WellFormed.as_str().to_owned(),
            status: "Unknown".to_owned(),
            reason: "ConfigurationMissing".to_owned(),
            message: "There is no valid configuration to judge by; see the log of cnbi-controller".to_owned(),
            observed_generation: generation,
            // Times are stored without fractions of a second.
            last_transition_time: Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
        }],
        ..Status::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_and_never_over_a_decision() {
        let mut resource: Stored = serde_json::from_str(r#"{"metadata":{"name":"x","generation":3}}"#).unwrap();
        let said = unconfigured(&resource, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(said.observed_generation, Some(3));
        assert_eq!(
            (said.conditions[0].type_.as_str(), said.conditions[0].status.as_str()),
            ("WellFormed", "Unknown")
        );
        resource.status = Some(said);
        assert_eq!(unconfigured(&resource, Timestamp::UNIX_EPOCH), None);
        resource.status = None;
        resource.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert_eq!(unconfigured(&resource, Timestamp::UNIX_EPOCH), None);
    }
}
