//! `prepare`: from what was asked for to something that can be built, with a lock wherever there can be one.
//!
//! Runs without credentials: resolving may run the builds of packages that strangers wrote.

pub(super) mod git_repository;
pub(super) mod package_list;

use std::path::PathBuf;
use std::time::Duration;

use cnbi_shared::grammar::image::ImageReference;

use crate::args::{Begun, RequestArgs, TaskArgs};
use crate::base::{self, Base, Target};
use crate::failure::Failure;
use crate::lock::Uv;

/// What to prepare.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Prepare {
    /// Lock a package list and make its canonical form, three files and their commit
    PackageList(Args),
    /// Find out how a repository is built, and lock what it asks for
    GitRepository(Args),
}

/// Arguments of both.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    task: TaskArgs,
    /// The program uv
    #[arg(long, value_name = "FILE", default_value = "uv")]
    uv: PathBuf,
    /// Most seconds that finding a solution may take
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    timeout: u64,
}

impl Args {
    fn uv<'a>(&'a self, begun: &'a Begun) -> Uv<'a> {
        Uv {
            program: &self.uv,
            home: begun.home.path(),
            outside: &begun.outside,
            settings: &begun.settings,
            time: Duration::from_secs(self.timeout),
        }
    }

    /// The image to build on, which an earlier step has fetched.
    fn base(&self, builder: &str) -> Result<Base, Failure> {
        let reference =
            ImageReference::parse(builder).map_err(|error| Failure::usage(format!("builderImage: {error}")))?;
        base::read(&self.task.work.base(), &reference).map_err(|error| Failure::unforeseen(error.to_string()))
    }
}

/// The Python of that image, if it is one that a notebook can run on.
fn target(base: &Base) -> Result<&Target, Failure> {
    let target = base.target.as_ref().ok_or_else(|| {
        Failure::unforeseen(format!(
            "no Python was found in {}, so nothing can be installed for it",
            base.reference
        ))
    })?;
    let minor = target
        .python
        .strip_prefix("3.")
        .and_then(|minor| minor.parse::<u32>().ok());
    if minor.is_some_and(|minor| minor >= 8) {
        Ok(target)
    } else {
        Err(Failure::unforeseen(format!(
            "{} has Python {}, and a notebook needs 3.8 or later",
            base.reference, target.python
        )))
    }
}
