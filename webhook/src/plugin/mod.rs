//! What `kubectl cnbi` does on a cluster, and what it writes and explains for one.
//!
//! Judging manifests is [`crate::check`]'s business, and none of this is loaded for it: a client, a runtime and a terminal are
//! made by the subcommand that needs them. What a cluster answers is printed by [`terminal`] alone, which lets no control
//! character through. Each subcommand is a pure part, from what is known to text, and a thin shell around it.

pub mod audit;
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
