//! The frame around every subcommand: runs it, writes its results, chooses the exit code.

use std::process::ExitCode;

use cnbi_shared::contract::results as names;

use crate::args::Cli;
use crate::command::Duty;
use crate::failure::{Exit, Failure};
use crate::report::{self, ROOM, Report};

/// Runs the program. Everything that is to be known stands in the results; standard error repeats it for the log.
pub async fn run(cli: Cli) -> ExitCode {
    let Cli { results, command } = cli;
    let duty = command.duty();
    // Should the program be killed, for its memory or by a panic, then this is what is told. If it cannot be written here, it is
    // found out below.
    let _ = report::write(
        &results,
        duty.results,
        &Report::new().with(
            names::MESSAGE,
            format!("cnbi-step {} ended before it could say why", duty.name),
        ),
    );
    let (report, failure) = told(duty, command.run().await);
    if let Some(failure) = &failure {
        let reason = failure.reason.map_or("no reason of its own", |reason| reason.as_str());
        eprintln!(
            "cnbi-step {}: {reason}: {}",
            duty.name,
            report.get(names::MESSAGE).unwrap_or_default()
        );
    }
    if let Err(error) = report::write(&results, duty.results, &report) {
        eprintln!(
            "cnbi-step {}: writing results to {}: {error}",
            duty.name,
            results.display()
        );
        return ExitCode::from(Exit::Untold as u8);
    }
    failure.map_or(ExitCode::SUCCESS, |failure| ExitCode::from(failure.exit as u8))
}

/// What the results say of an outcome. A subcommand that says what it must not, or more than there is room for, has
/// failed: that is a mistake of ours, and silence about it would look like success.
fn told(duty: &Duty, outcome: Result<Report, Failure>) -> (Report, Option<Failure>) {
    let outcome = outcome.and_then(|report| {
        let stranger = report.names().find(|name| !duty.results.contains(name));
        let torn = |name: &&str| report.get(name).unwrap_or_default().contains(char::is_control);
        if let Some(name) = stranger {
            Err(Failure::unforeseen(format!(
                "cnbi-step reports {name}, which it must not"
            )))
        } else if let Some(name) = report.names().find(torn) {
            Err(Failure::unforeseen(format!(
                "the result {name} has control characters in it"
            )))
        } else if report.taken() > ROOM {
            let taken = report.taken();
            Err(Failure::unforeseen(format!(
                "the results take {taken} bytes, and Tekton has room for {ROOM}"
            )))
        } else {
            Ok(report)
        }
    });
    match outcome {
        Ok(report) => (report, None),
        Err(mut failure) => {
            failure.reason = failure.reason.filter(|reason| duty.reasons.contains(reason));
            let mut report = Report::new().with(names::MESSAGE, report::message(&failure.message));
            if let Some(reason) = failure.reason {
                report = report.with(names::REASON, reason.as_str());
            }
            (report, Some(failure))
        }
    }
}

#[cfg(test)]
mod tests {
    use cnbi_shared::contract::{self, Reason, tasks};

    use super::*;

    const DUTY: Duty = Duty {
        name: "inspect",
        tasks: &[(&contract::IMPORT, tasks::SETUP)],
        reasons: &[Reason::ImageNotFound],
        results: &[names::DIGEST],
    };

    #[test]
    fn a_failure_is_told_by_its_reason_and_message() {
        let failure = Failure::new(Reason::ImageNotFound, "no\nsuch image");
        let (report, failure) = told(&DUTY, Err(failure));
        assert_eq!(report.get(names::REASON), Some("ImageNotFound"));
        assert_eq!(report.get(names::MESSAGE), Some("no such image"));
        assert_eq!(failure.unwrap().exit, Exit::Failed);
    }

    #[test]
    fn a_reason_that_is_not_the_tasks_is_not_told() {
        let (report, failure) = told(&DUTY, Err(Failure::new(Reason::GitRefNotFound, "x")));
        assert_eq!((report.get(names::REASON), failure.unwrap().reason), (None, None));
    }

    #[test]
    fn results_that_cannot_be_told_are_a_failure() {
        for (report, message) in [
            (Report::new().with(names::COMMIT, "x"), "reports commit"),
            (Report::new().with(names::DIGEST, "x".repeat(ROOM)), "room for"),
            (Report::new().with(names::DIGEST, "a\nb"), "control characters"),
        ] {
            let (told, failure) = told(&DUTY, Ok(report));
            assert!(failure.is_some());
            assert!(told.get(names::MESSAGE).unwrap().contains(message), "{told:?}");
        }
        let whole = Report::new().with(names::DIGEST, "sha256:1");
        assert_eq!(told(&DUTY, Ok(whole.clone())), (whole, None));
    }
}
