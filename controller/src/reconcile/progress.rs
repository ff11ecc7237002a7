//! Compares two statuses of a resource for the metrics of builds.
//!
//! Each run is counted once, also across restarts, when it first appears in `status.history`. Runs of a resource that is deleted
//! before they end are not counted.

use std::time::Duration;

use cnbi_shared::api::Status;
use cnbi_shared::api::status::PastRun;
use cnbi_shared::contract::ConditionType;
use jiff::Timestamp;

/// The difference between two statuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Runs that have ended.
    pub ended: Vec<&'a PastRun>,
    /// Time from the creation of the resource until its first generation was Ready for the first time.
    pub ready_after: Option<Duration>,
}

/// The difference between `before` and `after`. `created` is the creation time of the resource.
pub fn progress<'a>(before: Option<&Status>, after: &'a Status, created: Timestamp) -> Progress<'a> {
    let reported = before.map_or(&[][..], |before| &before.history);
    let ended = after.history.iter();
    Progress {
        ended: ended
            .filter(|past| !reported.iter().any(|reported| reported.name == past.name))
            .collect(),
        ready_after: ready_after(before, after, created),
    }
}

fn ready_after(before: Option<&Status>, after: &Status, created: Timestamp) -> Option<Duration> {
    // `imageStream` is set when the resource is Ready for the first time, and stays.
    let is_first = after.observed_generation == Some(1)
        && after.image_stream.is_some()
        && before.is_none_or(|before| before.image_stream.is_none());
    let ready = after
        .conditions
        .iter()
        .find(|condition| condition.type_ == ConditionType::Ready.as_str() && condition.status == "True")?;
    let took = ready.last_transition_time.0.duration_since(created);
    is_first.then(|| Duration::try_from(took).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(generation: i64, ready: &str, published: bool, history: &[(&str, &str)]) -> Status {
        let history: Vec<Value> = history
            .iter()
            .map(|(name, outcome)| json!({"name": name, "outcome": outcome}))
            .collect();
        let mut status = json!({
            "observedGeneration": generation, "history": history, "conditions": [{
                "type": "Ready", "status": ready, "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:01:30Z",
            }],
        });
        if published {
            status["imageStream"] = json!({"name": "x"});
        }
        serde_json::from_value(status).unwrap()
    }

    fn between(before: Option<&Status>, after: &Status) -> (Vec<String>, Option<u64>) {
        let progress = progress(before, after, "2026-01-01T00:00:00Z".parse().unwrap());
        let ended = progress.ended.iter().map(|past| past.name.clone()).collect();
        (ended, progress.ready_after.map(|after| after.as_secs()))
    }

    #[test]
    fn a_run_is_counted_when_it_first_appears_in_the_history() {
        let building = status(1, "Unknown", false, &[]);
        let failed = status(1, "False", false, &[("a", "BuildFailed")]);
        assert_eq!(between(Some(&building), &failed), (vec!["a".to_owned()], None));
        assert_eq!(between(None, &failed).0, ["a"]);
        assert_eq!(between(Some(&failed), &failed), (vec![], None));
        let again = status(1, "Unknown", false, &[("b", "Success"), ("a", "BuildFailed")]);
        assert_eq!(between(Some(&failed), &again).0, ["b"]);
    }

    #[test]
    fn the_first_generation_is_ready_for_the_first_time_once() {
        let importing = status(1, "Unknown", false, &[("a", "Success")]);
        let ready = status(1, "True", true, &[("a", "Success")]);
        assert_eq!(between(Some(&importing), &ready), (vec![], Some(90)));
        assert_eq!(between(None, &ready).1, Some(90));
        assert_eq!(between(Some(&ready), &ready).1, None);
        let lost = status(1, "Unknown", true, &[("a", "Success")]);
        assert_eq!(between(Some(&lost), &ready).1, None, "it was ready before");
        let later = status(2, "True", true, &[("b", "Success")]);
        assert_eq!(between(Some(&importing), &later).1, None, "another generation");
    }

    #[test]
    fn a_clock_that_was_set_back_gives_zero() {
        let ready = status(1, "True", true, &[]);
        let progress = progress(None, &ready, "2026-01-01T00:02:00Z".parse().unwrap());
        assert_eq!(progress.ready_after, Some(Duration::ZERO));
    }
}
