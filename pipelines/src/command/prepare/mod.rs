//! `prepare`: locks packages and generates a Containerfile.
//!
//! Runs without credentials, because resolving may run untrusted package builds.

pub(super) mod git_repository;
pub(super) mod package_list;

use std::path::PathBuf;
use std::time::Duration;

use cnbi_shared::grammar::image::ImageReference;

use crate::args::{RequestArgs, TaskArgs, TaskContext};
use crate::base_image::{self, BaseImage, Target};
use crate::error::StepError;
use crate::lock::Uv;

/// What to prepare
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Prepare {
    /// Lock a package list and write its canonical form (three files and a commit)
    PackageList(Args),
    /// Find the build file of a repository, lock its packages and generate a Containerfile if it has none
    GitRepository(Args),
}

/// Arguments of both subcommands.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    task: TaskArgs,
    /// Path of uv
    #[arg(long, value_name = "FILE", default_value = "uv")]
    uv: PathBuf,
    /// Time limit for resolving in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    timeout: u64,
}

impl Args {
    fn uv<'a>(&'a self, context: &'a TaskContext) -> Uv<'a> {
        Uv {
            program: &self.uv,
            home: context.home.path(),
            egress: &context.egress,
            settings: &context.settings,
            time: Duration::from_secs(self.timeout),
        }
    }

    /// The base image, fetched by an earlier step.
    fn base(&self, builder: &str) -> Result<BaseImage, StepError> {
        let reference =
            ImageReference::parse(builder).map_err(|error| StepError::usage(format!("builderImage: {error}")))?;
        base_image::read(&self.task.work.base(), &reference).map_err(|error| StepError::other(error.to_string()))
    }
}

/// The base image's Python, if supported.
fn target(base: &BaseImage) -> Result<&Target, StepError> {
    let target = base.target.as_ref().ok_or_else(|| {
        StepError::other(format!(
            "found no Python in {}; use a base image with Python 3.8 or later",
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
        Err(StepError::other(format!(
            "{} has Python {}; notebooks need 3.8 or later",
            base.reference, target.python
        )))
    }
}
