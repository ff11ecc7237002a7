//! `cnbi-bench`: how fast and how small the webhook is, beside what a user would pick instead.
//!
//! One run starts a control plane, installs CNBi on it, starts the peer and two floors, and measures all of them in turn
//! with a load generator that is a process of its own. What comes of it is a file, a table and a picture in
//! `target/bench/`. Only what was measured in one run is ever compared. Nothing here judges: whether a number is good is
//! said in `docs/development/performance.md`.

mod flood;
mod floor;
mod load;
mod reports;
mod reviews;
mod rivals;
mod run;
mod verdicts;

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

/// Measures cnbi-webhook beside a Go peer and two floors.
#[derive(Debug, Parser)]
#[command(name = "cnbi-bench")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures everything, and writes results, table and picture
    Run(run::Run),
    /// Sends one review again and again, and says how long the answers took, as JSON
    Load(load::Load),
    /// Holds connections to a server until it is stopped
    Flood(flood::Flood),
    /// Serves over TLS with no rule at all
    Floor(floor::Floor),
    /// Puts the table of the last run into a document
    Quote(reports::Quote),
    /// Becomes another program that runs on one core only
    Pinned(Pinned),
}

#[derive(Debug, clap::Args)]
struct Pinned {
    /// Number of the core
    core: usize,
    /// The program
    program: PathBuf,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<std::ffi::OsString>,
}

fn main() -> ExitCode {
    match start(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cnbi-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> Result<()> {
    // An error means that it is set already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match command {
        Command::Run(run) => many_threads()?.block_on(run.run()),
        Command::Floor(floor) => many_threads()?.block_on(floor.serve()),
        Command::Load(load) => load.run(),
        Command::Flood(flood) => flood.run(),
        Command::Quote(quote) => quote.run(),
        Command::Pinned(pinned) => Err(pinned.become_it()),
    }
}

fn many_threads() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Runtime::new().context("starting a runtime")
}

impl Pinned {
    /// Returns only when it fails.
    fn become_it(self) -> anyhow::Error {
        let mut cores = rustix::thread::CpuSet::new();
        cores.set(self.core);
        if let Err(error) = rustix::thread::sched_setaffinity(None, &cores) {
            return anyhow::Error::new(error).context(format!("running on core {}", self.core));
        }
        let error = std::process::Command::new(&self.program).args(self.arguments).exec();
        anyhow::Error::new(error).context(format!("starting {}", self.program.display()))
    }
}
