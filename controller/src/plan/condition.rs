//! The condition `WellFormed`: how a report is said in the words of Kubernetes' conditions.

use cnbi_shared::verdict::{Finding, Report};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Type of the condition: the resource passes the rules in force.
pub const WELL_FORMED: &str = "WellFormed";

/// Most characters of a message that Kubernetes' own schema of a condition takes.
const MESSAGE: usize = 32_768;

/// What a condition says, without when it was said first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Verdict {
    /// There was no configuration yet to judge by.
    pub(super) fn undecided() -> Self {
        Self {
            status: "Unknown",
            reason: "ConfigurationMissing",
            message: "There is no valid configuration to judge by; see the log of cnbi-controller".to_owned(),
        }
    }

    pub(super) fn of(report: &Report) -> Self {
        let Some(first) = report.denials().next() else {
            return Self {
                status: "True",
                reason: "RulesPassed",
                message: "Every rule that can be judged from the resource alone is passed".to_owned(),
            };
        };
        Self {
            status: "False",
            reason: first.rule.id,
            message: message(report),
        }
    }

    /// Whether the condition says this already, about that generation.
    pub(super) fn is_said_by(&self, condition: &Condition, generation: i64) -> bool {
        let Self {
            status,
            reason,
            message,
        } = self;
        condition.status == *status
            && condition.reason == *reason
            && condition.message == *message
            && condition.observed_generation == Some(generation)
    }

    /// The condition to write. `before` is what stands there now: its time stays unless the status is another.
    pub(super) fn condition(self, before: Option<&Condition>, generation: i64, now: Timestamp) -> Condition {
        let last_transition_time = before
            .filter(|before| before.status == self.status)
            .map_or_else(|| whole_seconds(now), |before| before.last_transition_time.clone());
        Condition {
            type_: WELL_FORMED.to_owned(),
            status: self.status.to_owned(),
            reason: self.reason.to_owned(),
            message: self.message,
            observed_generation: Some(generation),
            last_transition_time,
        }
    }
}

/// Times are stored without fractions of a second.
fn whole_seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// All that is wrong, on one line: tables of conditions have no room for more.
fn message(report: &Report) -> String {
    let (told, more) = report.told();
    let mut lines: Vec<String> = told.map(Finding::line).collect();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    cut(&lines.join(", "))
}

fn cut(text: &str) -> String {
    let mut characters = text.chars();
    let mut kept: String = characters.by_ref().take(MESSAGE - 1).collect();
    match (characters.next(), characters.next()) {
        (None, _) => {}
        (Some(last), None) => kept.push(last),
        (Some(_), Some(_)) => kept.push('…'),
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_at_the_limit_and_not_before() {
        for (length, last) in [(MESSAGE - 1, 'ä'), (MESSAGE, 'ä'), (MESSAGE + 1, '…')] {
            let cut = cut(&"ä".repeat(length));
            assert_eq!(
                (cut.chars().count(), cut.chars().last()),
                (length.min(MESSAGE), Some(last))
            );
        }
    }
}
