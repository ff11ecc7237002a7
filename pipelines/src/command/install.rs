//! `install`: brings this program into the container of a user's image, by a volume. The image need not have a shell.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use cnbi_shared::contract::{self, tasks};

use super::Duty;
use crate::failure::Failure;
use crate::report::Report;

pub(super) const DUTY: Duty = Duty {
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
    /// The file to make; anybody may run it
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<Report, Failure> {
    let copy = || -> std::io::Result<()> {
        fs::copy(std::env::current_exe()?, &args.to)?;
        fs::set_permissions(&args.to, fs::Permissions::from_mode(0o555))
    };
    copy().map_err(|error| Failure::unforeseen(format!("copying cnbi-step to {}: {error}", args.to.display())))?;
    Ok(Report::new())
}
