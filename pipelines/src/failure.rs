//! How a subcommand fails: with a reason of the contract and a sentence for everybody to read.

use cnbi_shared::contract::Reason;

/// Which exit code a failure has. The codes are listed in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Failed, and the results say why.
    Failed = 1,
    /// Called wrongly.
    Usage = 2,
    /// The results could not be written.
    Untold = 3,
}

/// A failure. The message is public: it ends in the status of the resource, so no secret may be in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Why. `None`: the reason that the contract has for the task.
    pub reason: Option<Reason>,
    /// The same for people: one sentence without its full stop.
    pub message: String,
    /// The program's exit code.
    pub exit: Exit,
}

impl Failure {
    /// A failure with a reason, which has to be one of those in the subcommand's [`crate::command::Duty`].
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason: Some(reason),
            message: message.into(),
            exit: Exit::Failed,
        }
    }

    /// A failure that the contract has no reason for, such as a full disk. The task's own reason is told.
    pub fn unforeseen(message: impl Into<String>) -> Self {
        Self {
            reason: None,
            message: message.into(),
            exit: Exit::Failed,
        }
    }

    /// The program was called in a way that cannot work.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            reason: None,
            message: message.into(),
            exit: Exit::Usage,
        }
    }
}
