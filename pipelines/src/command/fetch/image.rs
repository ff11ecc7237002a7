//! `fetch image`: brings the image to build on to the volume, as an OCI layout, so that no task that runs what a user wrote needs
//! the pull Secret.

use cnbi_shared::contract::{self, Asked, Reason, Settings, tasks};
use cnbi_shared::grammar::image::ImageReference;

use crate::args::RequestArgs;
use crate::command::Duty;
use crate::command::pull::{PullArgs, refused};
use crate::failure::Failure;
use crate::registry::transfer::TransferError;
use crate::report::Report;
use crate::repository::{Kind, kind};
use crate::work::WorkArgs;

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
    #[command(flatten)]
    work: WorkArgs,
    #[command(flatten)]
    pull: PullArgs,
    #[command(flatten)]
    request: RequestArgs,
}

pub(in crate::command) async fn run(args: &Args) -> Result<Report, Failure> {
    let asked = args.request.read()?;
    let settings = args.pull.settings()?;
    let Some(image) = wanted(&asked, &settings, &args.work) else {
        println!("no image is needed");
        return Ok(Report::new());
    };
    let image = ImageReference::parse(image)
        .map_err(|error| Failure::unforeseen(format!("The reference of the image to build on {error}")))?;
    let found = args.pull.find(&image).await?;
    let layout = args.work.base();
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

/// The image to bring. A repository that an earlier step has fetched may say itself what it is built on, or nothing at all.
fn wanted<'a>(asked: &'a Asked, settings: &'a Settings, work: &WorkArgs) -> Option<&'a str> {
    asked.builder_image.as_deref().or_else(|| match kind(&work.source()) {
        None | Some((_, Kind::Containerfile)) => None,
        Some(_) => settings.builder(asked),
    })
}
