//! The program `cnbi-webhook`.

use std::process::ExitCode;

use clap::Parser as _;
use cnbi_webhook::args::Args;
use cnbi_webhook::{logging, open_files, run};

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = logging::init(args.log_format, &args.log) {
        anstream::eprintln!("cnbi-webhook: --log {:?}: {error}", args.log);
        return ExitCode::from(2);
    }
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::warn!("another cryptographic provider was there first");
    }
    open_files::raise();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run::run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "cnbi-webhook cannot serve");
            ExitCode::FAILURE
        }
    }
}
