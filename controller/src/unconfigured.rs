//! The status of a resource while the controller has no valid configuration. Pure.

use cnbi_shared::api::Status;
use cnbi_shared::contract::ConditionType;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::watch::stored::Stored;

/// The status to write; `None` if the resource has conditions already, which are kept, or is being deleted.
pub fn unconfigured(resource: &Stored, now: Timestamp) -> Option<Status> {
    let has_conditions = resource.status.iter().any(|status| {
        let mut conditions = status.conditions.iter();
        conditions.any(|condition| condition.type_ == ConditionType::WellFormed.as_str())
    });
    if has_conditions || resource.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let generation = resource.metadata.generation;
    Some(Status {
        observed_generation: generation,
        conditions: vec![Condition {
            type_: ConditionType::WellFormed.as_str().to_owned(),
            status: "Unknown".to_owned(),
            reason: "ConfigurationMissing".to_owned(),
            message: "No valid configuration; the log of cnbi-controller has the error".to_owned(),
            observed_generation: generation,
            // Kubernetes stores times without fractions of a second.
            last_transition_time: Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
        }],
        ..Status::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_conditions_once_and_never_over_a_decision() {
        let mut resource: Stored = serde_json::from_str(r#"{"metadata":{"name":"x","generation":3}}"#).unwrap();
        let status = unconfigured(&resource, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(status.observed_generation, Some(3));
        assert_eq!(
            (
                status.conditions[0].type_.as_str(),
                status.conditions[0].status.as_str()
            ),
            ("WellFormed", "Unknown")
        );
        resource.status = Some(status);
        assert_eq!(unconfigured(&resource, Timestamp::UNIX_EPOCH), None);
        resource.status = None;
        resource.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        assert_eq!(unconfigured(&resource, Timestamp::UNIX_EPOCH), None);
    }
}
