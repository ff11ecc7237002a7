//! `kubectl cnbi`: one module per subcommand.
//!
//! [`check`] needs no cluster. The other subcommands create a Kubernetes client only if they need one. All text that comes
//! from a cluster is printed through [`terminal`], which removes control characters.

#![forbid(unsafe_code)]

pub mod audit;
pub mod check;
pub mod complete;
pub mod connection;
pub mod create;
pub mod default;
pub mod explain;
pub mod function;
pub mod logs;
pub mod status;
pub mod task_runs;
pub mod terminal;

/// Exit status: completed, nothing to report.
pub const SUCCESS: u8 = 0;
/// Exit status: completed, and a resource was rejected or a build failed.
pub const FINDINGS: u8 = 1;
/// Exit status: invalid arguments, or input or cluster not readable.
pub const FAILURE: u8 = 2;

/// Prints the error to stderr and returns [`FAILURE`].
pub fn fail(error: &connection::CliError) -> u8 {
    terminal::print_error(&error.to_string());
    FAILURE
}
