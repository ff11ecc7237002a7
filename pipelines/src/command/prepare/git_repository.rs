//! `prepare git-repository`: finds the build file of a repository. Without a Containerfile, generates one.

use std::fs;
use std::path::Path;

use cnbi_shared::contract::{self, Reason, results, tasks};

use super::{Args, target};
use crate::args::TaskContext;
use crate::base_image::Target;
use crate::build_file::{BUILD_FILES, BuildFile, detect, looks_locked};
use crate::canonical::{CONTAINERFILE, LOCK, REQUIREMENTS};
use crate::command::StepContract;
use crate::containerfile;
use crate::error::StepError;
use crate::pipfile::{self, PipfileError};
use crate::registry::layout::digest;
use crate::report::Report;
use crate::source_tree;
use crate::workspace;

pub(in crate::command) const CONTRACT: StepContract = StepContract {
    name: "prepare git-repository",
    tasks: &[(&contract::GIT_REPOSITORY, tasks::PREPARE)],
    reasons: &[
        Reason::NothingToBuild,
        Reason::RequirementsUnsolvable,
        Reason::SourceRepositoryUnavailable,
    ],
    results: &[results::LOCK_DIGEST],
};

/// Maximum size of a repository, in bytes.
const REPOSITORY: u64 = 4 << 30;
/// Maximum size of a build file, in bytes.
const DESCRIPTION: u64 = 8 << 20;

/// Runs the subcommand.
pub(in crate::command) fn run(args: &Args) -> Result<Report, StepError> {
    let request = args.request.read()?;
    let context = args.task.context()?;
    let source = args.task.work.source();
    let recipe = args.task.work.recipe();
    workspace::recreate(&recipe)?;
    source_tree::check(&source, REPOSITORY).map_err(|error| StepError::other(error.to_string()))?;
    let Some((name, kind)) = detect(&source) else {
        let names: Vec<_> = BUILD_FILES.iter().map(|(name, _)| *name).collect();
        return Err(nothing(format!(
            "the repository has no build file; add one of {}",
            names.join(", ")
        )));
    };
    eprintln!("building from {name}");
    if kind == BuildFile::Containerfile {
        return Ok(Report::new());
    }
    let builder = context.settings.builder(&request).ok_or_else(|| {
        nothing(format!(
            "the repository has {name} and no Containerfile, so it needs a base image; set spec.builderImage, or ask the admin to \
             set repositories.builderImage"
        ))
    })?;
    let base = args.base(builder)?;
    let (text, lock) = if kind == BuildFile::Environment {
        let file = described(&source, name)?;
        write(&recipe, name, &file)?;
        (containerfile::environment(&base, name), None)
    } else {
        let target = target(&base)?;
        let lock = lock(args, &context, name, kind, target)?;
        write(&recipe, LOCK, lock.as_bytes())?;
        (containerfile::packages(&base, &target.python, LOCK), Some(lock))
    };
    write(&recipe, CONTAINERFILE, text.as_bytes())?;
    Ok(match lock {
        Some(lock) => Report::new().with(results::LOCK_DIGEST, digest(lock.as_bytes())),
        None => Report::new(),
    })
}

fn lock(args: &Args, context: &TaskContext, name: &str, kind: BuildFile, target: &Target) -> Result<String, StepError> {
    let source = args.task.work.source();
    let unusable = |error: PipfileError| nothing(format!("{name} {error}"));
    let described = || described(&source, name);
    let compiled = match kind {
        BuildFile::Requirements if looks_locked(&String::from_utf8_lossy(&described()?)) => {
            return String::from_utf8(described()?).map_err(|_| nothing(format!("{name} is not UTF-8")));
        }
        BuildFile::PipfileLock => {
            let locked = pipfile::locked(&described()?).map_err(unusable)?;
            return Ok(format!("{}{locked}", crate::lock::indexes(&context.settings.python)));
        }
        BuildFile::Pipfile => {
            let requirements = pipfile::requirements(&described()?).map_err(unusable)?;
            let folder = args.task.work.recipe();
            write(&folder, REQUIREMENTS, requirements.as_bytes())?;
            args.uv(context).compile(&folder, REQUIREMENTS, target)
        }
        _ => args.uv(context).compile(&source, name, target),
    };
    compiled.map_err(|failure| match failure.reason {
        // The reason for package lists does not apply to a file of a repository.
        Some(Reason::PackageListUnavailable) => {
            StepError::new(Reason::RequirementsUnsolvable, format!("{name}: {}", failure.message))
        }
        _ => failure,
    })
}

fn described(source: &Path, name: &str) -> Result<Vec<u8>, StepError> {
    workspace::read(source, name, DESCRIPTION)
        .map_err(|error| nothing(format!("cannot read {name}: {error}")))?
        .ok_or_else(|| nothing(format!("{name} was removed during the build")))
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), StepError> {
    fs::write(folder.join(name), bytes).map_err(|error| StepError::other(format!("cannot write {name}: {error}")))
}

fn nothing(message: String) -> StepError {
    StepError::new(Reason::NothingToBuild, message)
}
