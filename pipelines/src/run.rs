//! Runs a subcommand, writes its results and chooses the exit code.

use std::process::ExitCode;

use cnbi_shared::contract::results as names;

use crate::args::Cli;
use crate::command::StepContract;
use crate::error::{Exit, StepError};
use crate::report::{self, LIMIT, Report};

/// Runs the program. Results hold everything that users need; standard error repeats the message for the log.
pub async fn run(cli: Cli) -> ExitCode {
    let Cli { results, command } = cli;
    let contract = command.contract();
    // Remains if the process is killed or panics. The write at the end reports errors.
    let _ = report::write(
        &results,
        contract.results,
        &Report::new().with(
            names::MESSAGE,
            format!(
                "cnbi-step {} was killed or crashed before it finished; see the log of the step",
                contract.name
            ),
        ),
    );
    let (report, failure) = report_of(contract, command.run().await);
    if let Some(failure) = &failure {
        let reason = failure.reason.map_or("Failed", |reason| reason.as_str());
        eprintln!(
            "cnbi-step {}: {reason}: {}",
            contract.name,
            report.get(names::MESSAGE).unwrap_or_default()
        );
    }
    if let Err(error) = report::write(&results, contract.results, &report) {
        eprintln!(
            "cnbi-step {}: cannot write results to {}: {error}",
            contract.name,
            results.display()
        );
        return ExitCode::from(Exit::ResultsNotWritten as u8);
    }
    failure.map_or(ExitCode::SUCCESS, |failure| ExitCode::from(failure.exit as u8))
}

/// The report for an outcome. A subcommand that reports more than its contract allows or than fits has failed: that is a bug.
fn report_of(contract: &StepContract, outcome: Result<Report, StepError>) -> (Report, Option<StepError>) {
    let outcome = outcome.and_then(|report| {
        let unknown = report.names().find(|name| !contract.results.contains(name));
        let has_control = |name: &&str| report.get(name).unwrap_or_default().contains(char::is_control);
        if let Some(name) = unknown {
            Err(StepError::other(format!(
                "cnbi-step reports {name}, which is not in the contract of the task"
            )))
        } else if let Some(name) = report.names().find(has_control) {
            Err(StepError::other(format!(
                "the result {name} contains control characters"
            )))
        } else if report.size() > LIMIT {
            let size = report.size();
            Err(StepError::other(format!(
                "the results take {size} bytes; Tekton stores at most {LIMIT}"
            )))
        } else {
            Ok(report)
        }
    });
    match outcome {
        Ok(report) => (report, None),
        Err(mut failure) => {
            failure.reason = failure.reason.filter(|reason| contract.reasons.contains(reason));
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

    const CONTRACT: StepContract = StepContract {
        name: "inspect",
        tasks: &[(&contract::IMPORT, tasks::SETUP)],
        reasons: &[Reason::ImageNotFound],
        results: &[names::DIGEST],
    };

    #[test]
    fn an_error_is_reported_with_reason_and_message() {
        let failure = StepError::new(Reason::ImageNotFound, "no\nsuch image");
        let (report, failure) = report_of(&CONTRACT, Err(failure));
        assert_eq!(report.get(names::REASON), Some("ImageNotFound"));
        assert_eq!(report.get(names::MESSAGE), Some("no such image"));
        assert_eq!(failure.unwrap().exit, Exit::Failed);
    }

    #[test]
    fn a_reason_outside_the_contract_is_not_reported() {
        let (report, failure) = report_of(&CONTRACT, Err(StepError::new(Reason::GitRefNotFound, "x")));
        assert_eq!((report.get(names::REASON), failure.unwrap().reason), (None, None));
    }

    #[test]
    fn invalid_results_are_an_error() {
        for (report, message) in [
            (Report::new().with(names::COMMIT, "x"), "reports commit, which"),
            (Report::new().with(names::DIGEST, "x".repeat(LIMIT)), "stores at most"),
            (Report::new().with(names::DIGEST, "a\nb"), "control characters"),
        ] {
            let (written, failure) = report_of(&CONTRACT, Ok(report));
            assert!(failure.is_some());
            assert!(written.get(names::MESSAGE).unwrap().contains(message), "{written:?}");
        }
        let whole = Report::new().with(names::DIGEST, "sha256:1");
        assert_eq!(report_of(&CONTRACT, Ok(whole.clone())), (whole, None));
    }
}
