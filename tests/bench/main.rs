//! `cnbi-bench`: speed and memory of the webhook, compared with a Go webhook (the peer) and with two servers without rules (the
//! floors).
//!
//! A run starts a control plane, installs CNBi, starts the other servers, and measures all in turn with a load generator in a
//! separate process. The results, a table and a chart go to `target/bench/`. Only results of one run are compared.

mod client;
mod creates;
mod flood;
mod floor;
mod load;
mod measure;
mod reports;
mod reviews;
mod run;
mod servers;
mod target;
mod verdicts;

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

/// Measures cnbi-webhook, a Go webhook with the same rules, and two servers without rules.
#[derive(Debug, Parser)]
#[command(name = "cnbi-bench")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure everything, and write results, table and chart
    Run(run::Run),
    /// Send one review repeatedly, and print latencies as JSON
    Load(load::Load),
    /// Hold connections to a server until stopped
    Flood(flood::Flood),
    /// Serve over TLS without any rule
    Floor(floor::Floor),
    /// Write the table of the last run to a document
    Quote(reports::Quote),
    /// Run another program on one core
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
    // Fails if it is set already.
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
