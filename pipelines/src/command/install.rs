//! `install`: copies this program to a volume, to run it in a container of the user's image. The image needs no shell.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use cnbi_shared::contract::{self, tasks};

use super::StepContract;
use crate::error::StepError;
use crate::report::Report;

pub(super) const CONTRACT: StepContract = StepContract {
    name: "install",
    tasks: &[
        (&contract::IMPORT, tasks::VALIDATE),
        (&contract::PACKAGE_LIST, tasks::VALIDATE),
        (&contract::GIT_REPOSITORY, tasks::VALIDATE),
    ],
    reasons: &[],
    results: &[],
};

/// Arguments of `install`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Path of the copy. All users may execute it
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<Report, StepError> {
    let copy = || -> std::io::Result<()> {
        fs::copy(std::env::current_exe()?, &args.to)?;
        fs::set_permissions(&args.to, fs::Permissions::from_mode(0o555))
    };
    copy().map_err(|error| StepError::other(format!("cannot copy cnbi-step to {}: {error}", args.to.display())))?;
    Ok(Report::new())
}
