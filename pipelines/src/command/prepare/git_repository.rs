//! `prepare git-repository`: finds out how a repository is built. One that says so itself, with a Containerfile, is left as
//! it is; for any other a recipe is written beside it.

use std::fs;
use std::path::Path;

use cnbi_shared::contract::{self, Reason, results, tasks};

use super::{Args, target};
use crate::args::Begun;
use crate::base::Target;
use crate::canonical::{CONTAINERFILE, LOCK, REQUIREMENTS};
use crate::command::Duty;
use crate::containerfile;
use crate::failure::Failure;
use crate::pipfile::{self, PipfileError};
use crate::registry::layout::digest;
use crate::report::Report;
use crate::repository::{KINDS, Kind, kind, looks_locked};
use crate::tree;
use crate::work;

pub(in crate::command) const DUTY: Duty = Duty {
    name: "prepare git-repository",
    tasks: &[(&contract::GIT_REPOSITORY, tasks::PREPARE)],
    reasons: &[
        Reason::NothingToBuild,
        Reason::RequirementsUnsolvable,
        Reason::SourceRepositoryUnavailable,
    ],
    results: &[results::LOCK_DIGEST],
};

/// Most bytes of a repository.
const REPOSITORY: u64 = 4 << 30;
/// Most bytes of a file that says what to install.
const DESCRIPTION: u64 = 8 << 20;

/// Runs it.
pub(in crate::command) fn run(args: &Args) -> Result<Report, Failure> {
    let asked = args.request.read()?;
    let begun = args.task.begin()?;
    let source = args.task.work.source();
    let recipe = args.task.work.recipe();
    work::renew(&recipe)?;
    tree::check(&source, REPOSITORY).map_err(|error| Failure::unforeseen(error.to_string()))?;
    let Some((name, kind)) = kind(&source) else {
        let names: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
        return Err(nothing(format!("the repository has none of {}", names.join(", "))));
    };
    eprintln!("building from {name}");
    if kind == Kind::Containerfile {
        return Ok(Report::new());
    }
    let builder = begun.settings.builder(&asked).ok_or_else(|| {
        nothing(format!(
            "the repository has {name} and no Containerfile, and neither spec.builderImage nor the cluster's configuration \
             says what to install on"
        ))
    })?;
    let base = args.base(builder)?;
    let (text, lock) = if kind == Kind::Environment {
        let file = described(&source, name)?;
        write(&recipe, name, &file)?;
        (containerfile::environment(&base, name), None)
    } else {
        let target = target(&base)?;
        let lock = lock(args, &begun, name, kind, target)?;
        write(&recipe, LOCK, lock.as_bytes())?;
        (containerfile::packages(&base, &target.python, LOCK), Some(lock))
    };
    write(&recipe, CONTAINERFILE, text.as_bytes())?;
    Ok(match lock {
        Some(lock) => Report::new().with(results::LOCK_DIGEST, digest(lock.as_bytes())),
        None => Report::new(),
    })
}

fn lock(args: &Args, begun: &Begun, name: &str, kind: Kind, target: &Target) -> Result<String, Failure> {
    let source = args.task.work.source();
    let unusable = |error: PipfileError| nothing(format!("{name} is of no use: {error}"));
    let described = || described(&source, name);
    let compiled = match kind {
        Kind::Requirements if looks_locked(&String::from_utf8_lossy(&described()?)) => {
            return String::from_utf8(described()?).map_err(|_| nothing(format!("{name} is not UTF-8")));
        }
        Kind::PipfileLock => {
            let locked = pipfile::locked(&described()?).map_err(unusable)?;
            return Ok(format!("{}{locked}", crate::lock::indexes(&begun.settings.python)));
        }
        Kind::Pipfile => {
            let requirements = pipfile::requirements(&described()?).map_err(unusable)?;
            let folder = args.task.work.recipe();
            write(&folder, REQUIREMENTS, requirements.as_bytes())?;
            args.uv(begun).compile(&folder, REQUIREMENTS, target)
        }
        _ => args.uv(begun).compile(&source, name, target),
    };
    compiled.map_err(|failure| match failure.reason {
        // In a repository it is one of its files that is at fault, and not a list.
        Some(Reason::PackageListUnavailable) => {
            Failure::new(Reason::RequirementsUnsolvable, format!("{name}: {}", failure.message))
        }
        _ => failure,
    })
}

fn described(source: &Path, name: &str) -> Result<Vec<u8>, Failure> {
    work::read(source, name, DESCRIPTION)
        .map_err(|error| nothing(format!("{name} cannot be read: {error}")))?
        .ok_or_else(|| nothing(format!("{name} is gone")))
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(folder.join(name), bytes).map_err(|error| Failure::unforeseen(format!("writing {name}: {error}")))
}

fn nothing(message: String) -> Failure {
    Failure::new(Reason::NothingToBuild, message)
}
