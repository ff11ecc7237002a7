//! The program `cnbi-webhook`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use cnbi_webhook::args::Args;
use cnbi_webhook::run;

const NAME: &str = "cnbi-webhook";

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(code) = cnbi_runtime::init(NAME, &args.common.log) {
        return code;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cnbi_runtime::exit_code(NAME, Err(error.into())),
    };
    let result = runtime.block_on(run::run(args));
    // Does not wait for a blocking read, for example of a certificate on a volume that hangs.
    runtime.shutdown_timeout(Duration::from_secs(1));
    cnbi_runtime::exit_code(NAME, result)
}
