//! The program; the work is in the library.

use std::process::ExitCode;

use clap::Parser;
use cnbi_pipelines::args::Cli;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    cnbi_pipelines::run::run(Cli::parse()).await
}
