//! `prepare package-list`: from requirements to the canonical form.

use std::fs;

use cnbi_shared::contract::{self, Reason, results, tasks};

use super::{Args, target};
use crate::canonical::{Canonical, LOCK, REQUIREMENTS};
use crate::command::Duty;
use crate::containerfile;
use crate::failure::Failure;
use crate::git::Git;
use crate::lock::requirements;
use crate::registry::layout::digest;
use crate::report::Report;
use crate::work;

pub(in crate::command) const DUTY: Duty = Duty {
    name: "prepare package-list",
    tasks: &[(&contract::PACKAGE_LIST, tasks::PREPARE)],
    reasons: &[
        Reason::PackageListUnavailable,
        Reason::RequirementsUnsolvable,
        Reason::SourceRepositoryUnavailable,
    ],
    results: &[results::LOCK_DIGEST],
};

/// Runs it.
pub(in crate::command) fn run(args: &Args) -> Result<Report, Failure> {
    let asked = args.request.read()?;
    let begun = args.task.begin()?;
    let items = asked.package_versions.as_deref().unwrap_or_default();
    if items.is_empty() {
        return Err(Failure::new(
            Reason::PackageListUnavailable,
            "the request names no packages",
        ));
    }
    let requirements = requirements(items)?;
    let builder = asked.builder_image.as_deref();
    let base = args.base(builder.ok_or_else(|| Failure::usage("the request names no image to build on"))?)?;
    let target = target(&base)?;
    let source = args.task.work.source();
    work::renew(&source)?;
    fs::write(source.join(REQUIREMENTS), &requirements)
        .map_err(|error| Failure::unforeseen(format!("writing {REQUIREMENTS}: {error}")))?;
    let lock = args.uv(&begun).compile(&source, REQUIREMENTS, target)?;
    let digest = digest(lock.as_bytes());
    let canonical = Canonical {
        requirements,
        lock,
        containerfile: containerfile::packages(&base, &target.python, LOCK),
    };
    canonical.write(&source)?;
    let commit = canonical
        .commit(&Git::local(&source, begun.home.path()), "main")
        .map_err(|error| Failure::unforeseen(error.to_string()))?;
    println!("the source is commit {commit}");
    Ok(Report::new().with(results::LOCK_DIGEST, digest))
}
