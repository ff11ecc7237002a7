//! The error of a subcommand: a reason of the contract and a message for users.

use cnbi_shared::contract::Reason;

/// Exit codes, as documented in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Failed; the results contain reason and message.
    Failed = 1,
    /// Invalid arguments.
    Usage = 2,
    /// Cannot write the results.
    ResultsNotWritten = 3,
}

/// The error of a subcommand. The message is published in the status of the resource and must not contain secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StepError {
    /// The reason. `None`: the default reason of the task.
    pub reason: Option<Reason>,
    /// One sentence for users, without a full stop.
    pub message: String,
    /// The exit code of the program.
    pub exit: Exit,
}

impl StepError {
    /// An error with a reason, which must be listed in the subcommand's [`crate::command::StepContract`].
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason: Some(reason),
            message: message.into(),
            exit: Exit::Failed,
        }
    }

    /// An error without a specific reason, such as a full disk. The default reason of the task is reported.
    pub fn other(message: impl Into<String>) -> Self {
        Self {
            reason: None,
            message: message.into(),
            exit: Exit::Failed,
        }
    }

    /// Invalid arguments or parameters.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            reason: None,
            message: message.into(),
            exit: Exit::Usage,
        }
    }
}
