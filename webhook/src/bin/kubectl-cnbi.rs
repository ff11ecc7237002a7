//! `kubectl cnbi`: what users and pipelines call. One subcommand a task; what each does is in the library.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use cnbi_webhook::check::{self, args::CheckArgs};

/// Custom notebook images for Open Data Hub, from the command line
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-cnbi",
    bin_name = "kubectl cnbi",
    version,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Check(CheckArgs),
}

fn main() -> ExitCode {
    let Cli { task } = Cli::parse();
    match task {
        Task::Check(args) => check::run(&args).into(),
    }
}
