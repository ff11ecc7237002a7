//! `fetch image`: brings the image to build on to the volume, as an OCI layout, so that no task that runs what a user wrote needs
//! the pull Secret.

use cnbi_shared::contract::{self, Reason, tasks};
use cnbi_shared::grammar::image::ImageReference;
use std::path::PathBuf;

use crate::args::RequestArgs;
use crate::command::Duty;
use crate::command::pull::{PullArgs, refused};
use crate::failure::Failure;
use crate::registry::transfer::TransferError;
use crate::report::Report;

pub(in crate::command) const DUTY: Duty = Duty {
    name: "fetch image",
    tasks: &[
        (&contract::PACKAGE_LIST, tasks::FETCH),
        (&contract::GIT_REPOSITORY, tasks::FETCH),
    ],
    reasons: &[
        Reason::ImageNotFound,
        Reason::RegistryUnauthorized,
        Reason::RegistryUnavailable,
        Reason::SignatureInvalid,
    ],
    results: &[],
};

/// Arguments of `fetch image`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Folder that the tasks of a run share; the image goes to `base` in it
    #[arg(long, value_name = "FOLDER")]
    work: PathBuf,
    #[command(flatten)]
    pull: PullArgs,
    #[command(flatten)]
    request: RequestArgs,
}

pub(in crate::command) async fn run(args: &Args) -> Result<Report, Failure> {
    let asked = args.request.read()?;
    // A repository may say itself what it is built on.
    let Some(image) = asked.builder_image.as_deref() else {
        println!("no image was asked for");
        return Ok(Report::new());
    };
    let image = ImageReference::parse(image)
        .map_err(|error| Failure::unforeseen(format!("The reference of the image to build on {error}")))?;
    let found = args.pull.find(&image).await?;
    let layout = args.work.join("base");
    let pulled = found
        .registry
        .pull(&found.reference, &found.image, &layout, image.as_str())
        .await;
    pulled.map_err(|error| match error {
        TransferError::Registry(refusal) => refused(&image, &refusal),
        TransferError::Layout(error) => Failure::unforeseen(format!(
            "The image to build on cannot be written to the volume: {error}"
        )),
    })?;
    println!("{} is on the volume", found.image.image.digest);
    Ok(Report::new())
}
