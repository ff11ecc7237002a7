//! The program `cnbi-controller`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use cnbi_controller::args::Args;
use cnbi_controller::start;

const NAME: &str = "cnbi-controller";

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(code) = cnbi_runtime::init(NAME, &args.common.log) {
        return code;
    }
    // The controller mostly waits for the API server, so one thread is enough, and it uses one allocator arena.
    let result = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(start::start(args)),
        Err(error) => Err(error.into()),
    };
    cnbi_runtime::exit_code(NAME, result)
}
