//! What to say about a resource. Pure and total: there is a plan for everything that can be observed.
//!
//! The rules are those of admission, applied to what is stored. What a rule would have to look up (a Secret, an access
//! review) was looked up at admission and is not judged again here.

mod condition;

use std::fmt;

use cnbi_shared::api::{Draft, Status};
use cnbi_shared::config::Config;
use cnbi_shared::defaults::Defaults;
use cnbi_shared::facts::{Answer, Facts, Need};
use cnbi_shared::rules::evaluate;
use cnbi_shared::subject::Subject;
use cnbi_shared::verdict::Report;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::observe::Observed;
use condition::Verdict;

pub use condition::WELL_FORMED;

/// What is to be done about one resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The status to write; `None` where what stands there is right.
    pub status: Option<Status>,
}

/// Decides. `config` is `None` until there was a good configuration.
pub fn plan(observed: &Observed, now: Timestamp, config: Option<&Config>) -> Plan {
    // Whoever deletes a resource asks for nothing any more.
    if observed.draft.is_being_deleted() {
        return Plan::default();
    }
    let before = observed.status.as_ref();
    let said = before.and_then(|status| {
        status
            .conditions
            .iter()
            .find(|condition| condition.type_ == WELL_FORMED)
    });
    let verdict = match config {
        Some(config) => Verdict::of(&judge(&observed.draft, config)),
        // What was decided under the configuration before a restart is better than nothing.
        None if said.is_some() => return Plan::default(),
        None => Verdict::undecided(),
    };
    let is_current = before.is_some_and(|status| status.observed_generation == Some(observed.generation))
        && said.is_some_and(|said| verdict.is_said_by(said, observed.generation));
    if is_current {
        return Plan::default();
    }
    Plan {
        status: Some(Status {
            observed_generation: Some(observed.generation),
            conditions: vec![verdict.condition(said, observed.generation, now)],
            ..Status::default()
        }),
    }
}

/// What the rules in force say about the object, defaults filled in.
fn judge(draft: &Draft, config: &Config) -> Report {
    let mut draft = draft.clone();
    Defaults::of(&Subject::create(&draft), config, None).apply(&mut draft);
    let facts = Facts::none().with(Need::Configuration, Answer::Yes);
    evaluate(&Subject::create(&draft), &facts, config)
}

impl fmt::Display for Plan {
    /// For people, and for tests that compare plans as text; without messages, whose words are free to change.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status } = self;
        let Some(status) = status else {
            return writeln!(formatter, "nothing to do");
        };
        let generation = status.observed_generation.unwrap_or_default();
        writeln!(formatter, "write status, observedGeneration {generation}")?;
        for condition in &status.conditions {
            let Condition {
                type_,
                status,
                reason,
                last_transition_time,
                observed_generation,
                message: _,
            } = condition;
            let generation = observed_generation.unwrap_or_default();
            let since = last_transition_time.0;
            writeln!(
                formatter,
                "  {type_}={status} {reason}, of generation {generation}, since {since}"
            )?;
        }
        Ok(())
    }
}
