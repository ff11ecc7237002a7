//! The cnbi-step binary; see the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use cnbi_pipelines::args::Cli;
use cnbi_pipelines::git::credential;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if let Some(result) = credential::run_helper(std::env::args_os()) {
        return match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    cnbi_pipelines::run::run(Cli::parse()).await
}
