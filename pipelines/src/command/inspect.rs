//! `inspect`: resolves the image to import to a digest and verifies its signature.

use std::time::Duration;

use cnbi_shared::contract::{self, Reason, results, tasks};
use cnbi_shared::grammar::image::ImageReference;
use cnbi_shared::verdict::printable;
use tokio::time::timeout;

use super::StepContract;
use super::pull::PullArgs;
use crate::args::RequestArgs;
use crate::base_image::pinned;
use crate::error::StepError;
use crate::report::Report;
use crate::start_command;

/// Time limit.
const WITHIN: Duration = Duration::from_secs(120);

/// Maximum number of labels in the log.
const LABELS: usize = 50;

pub(super) const CONTRACT: StepContract = StepContract {
    name: "inspect",
    tasks: &[(&contract::IMPORT, tasks::SETUP)],
    reasons: &[
        Reason::ImageInvalid,
        Reason::ImageNotFound,
        Reason::RegistryUnauthorized,
        Reason::RegistryUnavailable,
        Reason::SignatureInvalid,
    ],
    results: &[results::DIGEST, results::REFERENCE, results::START_COMMAND],
};

/// Arguments of `inspect`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pull: PullArgs,
    #[command(flatten)]
    request: RequestArgs,
}

pub(super) async fn run(args: &Args) -> Result<Report, StepError> {
    let request = args.request.read()?;
    let image = request.from_image.as_deref().unwrap_or_default();
    let image = ImageReference::parse(image)
        .map_err(|error| StepError::new(Reason::ImageInvalid, format!("spec.fromImage {error}")))?;
    let found = timeout(WITHIN, args.pull.find(&image)).await.map_err(|_| {
        let message = format!(
            "{}: the registry did not respond within {WITHIN:?}",
            printable(image.as_str(), 200)
        );
        StepError::new(Reason::RegistryUnavailable, message)
    })??;
    let resolved = &found.image;
    let digest = &resolved.digest;
    println!(
        "{} is {digest}, {} bytes in layers",
        printable(image.as_str(), 200),
        resolved.size()
    );
    for (key, value) in resolved.labels().take(LABELS) {
        println!("label {}={}", printable(key, 100), printable(value, 200));
    }
    Ok(Report::new()
        .with(results::DIGEST, digest)
        .with(results::REFERENCE, pinned(&image, digest))
        .with(results::START_COMMAND, start_command::encode(&resolved.configuration)))
}
