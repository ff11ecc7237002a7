//! `fetch image`: downloads the base image to the workspace as an OCI layout, so that only this task needs the pull secret.

use cnbi_shared::contract::{self, BuildRequest, Reason, Settings, tasks};
use cnbi_shared::grammar::image::ImageReference;

use crate::args::RequestArgs;
use crate::build_file::{BuildFile, detect};
use crate::command::StepContract;
use crate::command::pull::{PullArgs, step_error};
use crate::error::StepError;
use crate::registry::transfer::TransferError;
use crate::report::Report;
use crate::workspace::WorkspaceArgs;

pub(in crate::command) const CONTRACT: StepContract = StepContract {
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
    work: WorkspaceArgs,
    #[command(flatten)]
    pull: PullArgs,
    #[command(flatten)]
    request: RequestArgs,
}

pub(in crate::command) async fn run(args: &Args) -> Result<Report, StepError> {
    let request = args.request.read()?;
    let settings = args.pull.settings()?;
    let Some(image) = base_image(&request, &settings, &args.work) else {
        println!("no base image needed");
        return Ok(Report::new());
    };
    let image = ImageReference::parse(image)
        .map_err(|error| StepError::other(format!("The reference of the base image {error}")))?;
    let found = args.pull.find(&image).await?;
    let layout = args.work.base();
    let pulled = found
        .registry
        .pull(&found.reference, &found.image, &layout, image.as_str())
        .await;
    pulled.map_err(|error| match error {
        TransferError::Registry(error) => step_error(&image, &error),
        TransferError::Layout(error) => {
            StepError::other(format!("cannot write the base image to the workspace: {error}"))
        }
    })?;
    println!("fetched {}", found.image.image.digest);
    Ok(Report::new())
}

/// The base image, if one is needed. A repository with a Containerfile or without a build file needs none.
fn base_image<'a>(request: &'a BuildRequest, settings: &'a Settings, work: &WorkspaceArgs) -> Option<&'a str> {
    request
        .builder_image
        .as_deref()
        .or_else(|| match detect(&work.source()) {
            None | Some((_, BuildFile::Containerfile)) => None,
            Some(_) => settings.builder(request),
        })
}
