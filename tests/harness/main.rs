//! `cnbi-local`: the control plane on this machine, for trying things by hand, and what the tests start beside themselves.

#[path = "../demo/mod.rs"]
mod demo;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use cnbi_tests::assets::Assets;
use cnbi_tests::local::Local;
use cnbi_tests::supervisor::{Supervise, Sweep};

/// A Kubernetes control plane on loopback, with CNBi installed.
#[derive(Debug, Parser)]
#[command(name = "cnbi-local", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts a control plane with CNBi on it that stays in the background, and says how to use it
    Up(Place),
    /// Ends it and removes its data
    Down(Place),
    /// Shows what CNBi does, on a control plane of its own that ends with it
    Demo,
    /// Builds the programs that tests run beside ours, or finds them, and says where they are
    Tools,
    /// Compares the rights that are granted with those that a whole run of the tests has used
    #[command(hide = true)]
    Rights {
        /// The folder that CNBI_RIGHTS named during the run
        folder: PathBuf,
    },
    /// Is the process in the background
    #[command(hide = true)]
    Hold(Place),
    /// Runs one program for as long as stdin stays open
    #[command(hide = true)]
    Supervise(Supervise),
    /// Removes a folder when stdin has closed and its programs have ended
    #[command(hide = true)]
    Sweep(Sweep),
}

#[derive(Debug, clap::Args)]
struct Place {
    /// Where its data is [default: target/local of this clone]
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    // A thread may be blocked on stdin for ever, which the end of a runtime would wait for.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let code = runtime
        .block_on(run(Arguments::parse().command))
        .unwrap_or_else(|error| failed(&error));
    runtime.shutdown_background();
    code
}

async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Up(place) => {
            let local = Local::new(place.folder);
            local.up().await?;
            eprintln!(
                "CNBi is up. Requests get PipelineRuns in cnbi-builds, which stay as they are: Tekton is not here."
            );
            eprintln!("For kubectl to find it:");
            println!("export KUBECONFIG={}", local.kubeconfig().display());
        }
        Command::Down(place) => {
            let was_up = Local::new(place.folder).down().await?;
            println!("{}", if was_up { "down" } else { "was not up" });
        }
        Command::Demo => {
            let as_told = demo::run().await?;
            return Ok(if as_told { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Hold(place) => Local::new(place.folder).hold().await?,
        Command::Tools => {
            let assets = tokio::task::spawn_blocking(Assets::locate).await??;
            let version = if assets.pinned() {
                cnbi_tests::assets::kubernetes_version()?
            } else {
                "as given"
            };
            println!("{} (Kubernetes {version})", assets.folder().display());
            let registry = tokio::task::spawn_blocking(cnbi_tests::assets::registry).await??;
            println!("{}", registry.display());
            for build in [
                cnbi_tests::assets::kustomize,
                cnbi_tests::assets::kstatus,
                cnbi_tests::assets::sarif,
            ] {
                println!("{}", tokio::task::spawn_blocking(build).await??.display());
            }
        }
        Command::Rights { folder } => {
            let wrong = cnbi_tests::rights::compare(&folder)?;
            for line in &wrong {
                println!("{line}");
            }
            return Ok(if wrong.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        Command::Supervise(supervise) => return supervise.run().await,
        Command::Sweep(sweep) => sweep.run()?,
    }
    Ok(ExitCode::SUCCESS)
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("cnbi-local: {error:#}");
    ExitCode::FAILURE
}
