//! `fetch`: brings what is needed from outside to the volume.

pub(super) mod git;
pub(super) mod image;

/// What to fetch.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Fetch {
    /// Bring one commit of a repository, as plain files
    Git(git::Args),
    /// Bring the image to build on, as an OCI layout
    Image(image::Args),
}
