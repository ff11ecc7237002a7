//! `cnbi-local`: a local control plane with CNBi, the demo, and processes that the tests need.

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
    /// Start a control plane with CNBi in the background, and print its KUBECONFIG
    Up(LocalArgs),
    /// Stop it and delete its data
    Down(LocalArgs),
    /// Show what CNBi does, on a temporary control plane
    Demo,
    /// Build or find the third-party programs that the tests run, and print their paths
    Tools,
    /// Compare the granted permissions with those that a full test run used
    #[command(hide = true)]
    Rights {
        /// The folder that CNBI_RIGHTS named during the test run
        folder: PathBuf,
    },
    /// Run the control plane of `up` in the foreground
    #[command(hide = true)]
    Hold(LocalArgs),
    /// Run one program until stdin is closed
    #[command(hide = true)]
    Supervise(Supervise),
    /// Remove a folder after stdin is closed and its programs have ended
    #[command(hide = true)]
    Sweep(Sweep),
}

#[derive(Debug, clap::Args)]
struct LocalArgs {
    /// Folder for its data [default: target/local of this clone]
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    // A thread may block on stdin forever; dropping the runtime would wait for it.
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
        Command::Up(args) => {
            let local = Local::new(args.folder);
            local.up().await?;
            eprintln!(
                "CNBi is running. It creates PipelineRuns in cnbi-builds, but no build starts, because Tekton is not installed."
            );
            eprintln!("To use it with kubectl, run:");
            println!("export KUBECONFIG={}", local.kubeconfig().display());
        }
        Command::Down(args) => {
            let was_up = Local::new(args.folder).down().await?;
            println!("{}", if was_up { "stopped" } else { "not running" });
        }
        Command::Demo => {
            let passed = demo::run().await?;
            return Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Hold(args) => Local::new(args.folder).hold().await?,
        Command::Tools => {
            let assets = tokio::task::spawn_blocking(Assets::locate).await??;
            let version = if assets.pinned() {
                cnbi_tests::assets::kubernetes_version()?
            } else {
                "from CNBI_KUBE_ASSETS"
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
