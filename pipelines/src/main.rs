//! The program; the work is in the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use cnbi_pipelines::args::Cli;
use cnbi_pipelines::git::credential;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if let Some(answered) = credential::answered(std::env::args_os()) {
        return match answered {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    cnbi_pipelines::run::run(Cli::parse()).await
}
