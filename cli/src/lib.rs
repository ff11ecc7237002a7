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
pub mod job;
pub mod logs;
pub mod runs;
pub mod screen;
pub mod status;
pub mod terminal;

/// It was done, and there is nothing to complain of.
pub const DONE: u8 = 0;
/// It was done, and what it found is not good.
pub const FOUND: u8 = 1;
/// It could not be done.
pub const UNUSABLE: u8 = 2;

/// Says on stderr why something could not be done. The exit status.
pub fn give_up(problem: &connection::Problem) -> u8 {
    terminal::complain(&problem.to_string());
    UNUSABLE
}
