//! `fetch`: downloads source and base images to the workspace.

pub(super) mod git;
pub(super) mod image;

/// What to download
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Fetch {
    /// Download one commit of a Git repository as plain files
    Git(git::Args),
    /// Download the base image as an OCI layout
    Image(image::Args),
}
