//! `prepare package-list`: writes the canonical form of a package list.

use std::fs;

use cnbi_shared::contract::{self, Reason, results, tasks};

use super::{Args, target};
use crate::canonical::{Canonical, LOCK, REQUIREMENTS};
use crate::command::StepContract;
use crate::containerfile;
use crate::error::StepError;
use crate::git::Git;
use crate::lock::requirements;
use crate::registry::layout::digest;
use crate::report::Report;
use crate::workspace;

pub(in crate::command) const CONTRACT: StepContract = StepContract {
    name: "prepare package-list",
    tasks: &[(&contract::PACKAGE_LIST, tasks::PREPARE)],
    reasons: &[
        Reason::PackageListUnavailable,
        Reason::RequirementsUnsolvable,
        Reason::SourceRepositoryUnavailable,
    ],
    results: &[results::LOCK_DIGEST],
};

/// Runs the subcommand.
pub(in crate::command) fn run(args: &Args) -> Result<Report, StepError> {
    let request = args.request.read()?;
    let context = args.task.context()?;
    let items = request.package_versions.as_deref().unwrap_or_default();
    if items.is_empty() {
        return Err(StepError::new(
            Reason::PackageListUnavailable,
            "spec.packageVersions is empty",
        ));
    }
    let requirements = requirements(items)?;
    let builder = request.builder_image.as_deref();
    let base = args.base(builder.ok_or_else(|| StepError::usage("the request has no base image"))?)?;
    let target = target(&base)?;
    let source = args.task.work.source();
    workspace::recreate(&source)?;
    fs::write(source.join(REQUIREMENTS), &requirements)
        .map_err(|error| StepError::other(format!("cannot write {REQUIREMENTS}: {error}")))?;
    let lock = args.uv(&context).compile(&source, REQUIREMENTS, target)?;
    let digest = digest(lock.as_bytes());
    let canonical = Canonical {
        requirements,
        lock,
        containerfile: containerfile::packages(&base, &target.python, LOCK),
    };
    canonical.write(&source)?;
    let commit = canonical
        .commit(&Git::local(&source, context.home.path()), "main")
        .map_err(|error| StepError::other(error.to_string()))?;
    println!("source commit {commit}");
    Ok(Report::new().with(results::LOCK_DIGEST, digest))
}
