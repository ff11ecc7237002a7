//! `validate`: checks in a container of the image that it works as a notebook image, and lists its software.
//!
//! Programs of the image are untrusted: time and output are limited, they are killed with their process group, and their output is
//! parsed. Needs no shell or other program in the image.

mod python;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cnbi_shared::contract::{self, Reason, results, tasks};

use self::python::Python;
use super::StepContract;
use crate::error::StepError;
use crate::report::Report;
use crate::start_command;

pub(super) const CONTRACT: StepContract = StepContract {
    name: "validate",
    tasks: &[
        (&contract::IMPORT, tasks::VALIDATE),
        (&contract::PACKAGE_LIST, tasks::VALIDATE),
        (&contract::GIT_REPOSITORY, tasks::VALIDATE),
    ],
    reasons: &[Reason::ImageInvalid],
    results: &[results::SOFTWARE, results::PYTHON_DEPENDENCIES],
};

/// The oldest supported Python.
const OLDEST: (u32, u32) = (3, 8);
/// Maximum size of the result for software, in bytes.
const SOFTWARE_ROOM: usize = 400;
/// Maximum size of the result for packages, in bytes.
const PACKAGES_ROOM: usize = 1800;

/// Arguments of `validate`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Time limit for each program of the image in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// Port of the notebook server
    #[arg(long, value_name = "NUMBER", default_value_t = 8888)]
    port: u16,
    /// Start command of the image, from an earlier task. If the image has no JupyterLab, it must serve /api on the port
    #[arg(long, value_name = "BASE64", default_value = "")]
    start: String,
}

pub(super) fn run(args: &Args) -> Result<Report, StepError> {
    let time = Duration::from_secs(args.timeout);
    let start = start_command::decode(&args.start).map_err(|error| StepError::usage(format!("--start {error}")))?;
    let mut findings = Vec::new();
    let home = home();
    if let Err(what) = &home {
        findings.push(what.clone());
    }
    let folder = home.unwrap_or_else(|_| PathBuf::from("/"));
    let python = match python::find(&folder, time) {
        Ok(python) => Some(python),
        Err(what) => {
            findings.push(what);
            None
        }
    };
    if let Some(python) = &python {
        if python.version < OLDEST {
            findings.push(format!(
                "its Python is {}; notebooks need {}.{} or later",
                python.shown(),
                OLDEST.0,
                OLDEST.1
            ));
        }
        if !python.has_pip {
            findings.push("its Python has no pip".to_owned());
        }
    }
    if python.as_ref().is_none_or(|python| !python.has("jupyterlab"))
        && let Err(what) = server::serves(start.as_deref(), args.port, &folder, time)
    {
        findings.push(what);
    }
    match (findings.as_slice(), python) {
        ([], Some(python)) => Ok(report(&python)),
        (findings, _) => Err(StepError::new(
            Reason::ImageInvalid,
            format!("The image is not a notebook image: {}", findings.join("; ")),
        )),
    }
}

fn report(python: &Python) -> Report {
    Report::new()
        .with_list(results::SOFTWARE, &python.software(), SOFTWARE_ROOM)
        .with_list(results::PYTHON_DEPENDENCIES, &python.top_packages(), PACKAGES_ROOM)
}

/// HOME, if it is writable.
fn home() -> Result<PathBuf, String> {
    let Some(home) = std::env::var_os("HOME").filter(|home| !home.is_empty()) else {
        return Err("it does not set HOME".to_owned());
    };
    let home = PathBuf::from(home);
    match writable(&home) {
        Ok(()) => Ok(home),
        Err(error) => Err(format!(
            "its home {} is not writable: {error}",
            cnbi_shared::verdict::printable(&home.to_string_lossy(), 80)
        )),
    }
}

fn writable(folder: &Path) -> std::io::Result<()> {
    let probe = folder.join(format!(".cnbi-{}", std::process::id()));
    fs::File::create_new(&probe)?;
    fs::remove_file(&probe)
}
