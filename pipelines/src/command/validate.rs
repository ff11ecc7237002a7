//! `validate`: looks, from inside a container of the image, whether it can serve as a notebook, and what it has.
//!
//! Every program of the image is a stranger's: it has bounds in time and output, ends with its group, and its word is taken
//! only as far as it parses. Nothing here needs a shell or any other program to be there.

mod python;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cnbi_shared::contract::{self, Reason, results, tasks};

use self::python::Python;
use super::Duty;
use crate::failure::Failure;
use crate::report::Report;
use crate::start;

pub(super) const DUTY: Duty = Duty {
    name: "validate",
    tasks: &[
        (&contract::IMPORT, tasks::VALIDATE),
        (&contract::PACKAGE_LIST, tasks::VALIDATE),
        (&contract::GIT_REPOSITORY, tasks::VALIDATE),
    ],
    reasons: &[Reason::ImageInvalid],
    results: &[results::SOFTWARE, results::PYTHON_DEPENDENCIES],
};

/// The oldest Python that notebooks run on.
const OLDEST: (u32, u32) = (3, 8);
/// Bytes of results for the list of software.
const SOFTWARE_ROOM: usize = 400;
/// Bytes of results for the list of packages.
const PACKAGES_ROOM: usize = 1800;

/// Arguments of `validate`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Most seconds that one program of the image may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// The port that notebooks are served on
    #[arg(long, value_name = "NUMBER", default_value_t = 8888)]
    port: u16,
    /// What a container of the image starts with, as the task before has reported it; without JupyterLab it has to serve /api on
    /// that port
    #[arg(long, value_name = "BASE64", default_value = "")]
    start: String,
}

pub(super) fn run(args: &Args) -> Result<Report, Failure> {
    let time = Duration::from_secs(args.timeout);
    let start = start::decode(&args.start).map_err(|error| Failure::usage(format!("--start {error}")))?;
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
                "its Python is {}, and a notebook needs {}.{} or later",
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
        (findings, _) => Err(Failure::new(
            Reason::ImageInvalid,
            format!("the image is no notebook image: {}", findings.join("; ")),
        )),
    }
}

fn report(python: &Python) -> Report {
    Report::new()
        .with_list(results::SOFTWARE, &python.software(), SOFTWARE_ROOM)
        .with_list(results::PYTHON_DEPENDENCIES, &python.top_packages(), PACKAGES_ROOM)
}

/// The user's home, in which files can be made.
fn home() -> Result<PathBuf, String> {
    let Some(home) = std::env::var_os("HOME").filter(|home| !home.is_empty()) else {
        return Err("it sets no HOME".to_owned());
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
