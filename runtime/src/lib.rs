//! What the long-running programs `cnbi-webhook` and `cnbi-controller` share.
//!
//! It knows neither program: each passes its own routes, metrics and tasks.
//!
//! * [`args`]: flags that both programs have;
//! * [`logging`]: log format, log filter and the panic hook;
//! * [`client`]: configuration of the Kubernetes client: User-Agent, timeouts, no retries;
//! * [`open_files`]: the limit of open files;
//! * [`signals`]: SIGTERM and SIGINT;
//! * [`tasks`]: long-running tasks whose unexpected end is the end of the process;
//! * [`status_server`]: `/livez`, `/readyz` and `/metrics` over plain HTTP;
//! * [`configuration`] and [`config_watch`]: the active configuration and the watch of its ConfigMap;
//! * [`metrics`]: metrics that both programs have, and deprecated metric names.

#![forbid(unsafe_code)]

pub mod args;
pub mod client;
pub mod config_watch;
pub mod configuration;
pub mod logging;
pub mod metrics;
pub mod open_files;
pub mod signals;
pub mod status_server;
pub mod tasks;

use std::process::ExitCode;

use args::LogArgs;

/// Any error that ends a program.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Prepares the process before its runtime starts: log, panic hook, TLS provider, limit of open files.
///
/// # Errors
/// The exit code for an invalid log filter, which has been reported on standard error.
pub fn init(program: &str, log: &LogArgs) -> Result<(), ExitCode> {
    if let Err(error) = logging::init(log) {
        eprintln!("{program}: invalid --log {:?}: {error}", log.log);
        return Err(ExitCode::from(2));
    }
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::warn!("a TLS provider was already installed");
    }
    open_files::raise_limit();
    Ok(())
}

/// Logs how a program ended, and returns its exit code: 0 after a shutdown, 1 after an error.
pub fn exit_code(program: &str, result: Result<(), Error>) -> ExitCode {
    match result {
        Ok(()) => {
            tracing::info!("{program} stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(%error, "{program} failed");
            ExitCode::FAILURE
        }
    }
}
