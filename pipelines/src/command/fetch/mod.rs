//! `fetch`: brings what is needed from outside to the volume.

pub(super) mod git;

/// What to fetch.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Fetch {
    /// Bring one commit of a repository, as plain files
    Git(git::Args),
}
