//! `push`: sends the image that was built to its registry, and reads back its digest.
//!
//! The layout on the volume was left by a task that ran what a user wrote.

use std::fs;
use std::path::PathBuf;

use cnbi_shared::config::{INTERNAL_REGISTRY, Registry as Place};
use cnbi_shared::contract::{self, Reason, results, tasks};
use cnbi_shared::grammar::image::ImageReference;
use oci_client::secrets::RegistryAuth;

use super::Duty;
use super::inspect::pinned;
use crate::args::SettingsArgs;
use crate::failure::Failure;
use crate::registry::layout::Layout;
use crate::registry::transfer::TransferError;
use crate::registry::{Registry, certificates, credentials, reference};
use crate::report::Report;
use crate::start;

/// The pod's token, which OpenShift's own registry takes for a password.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

pub(super) const DUTY: Duty = Duty {
    name: "push",
    tasks: &[
        (&contract::PACKAGE_LIST, tasks::PUSH),
        (&contract::GIT_REPOSITORY, tasks::PUSH),
    ],
    reasons: &[Reason::PushFailed, Reason::BuildFailed],
    results: &[results::DIGEST, results::REFERENCE, results::START_COMMAND],
};

/// Arguments of `push`. An empty path: that workspace is not bound.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Name of the resource, and of its repository
    #[arg(long, value_name = "NAME")]
    resource_name: String,
    /// Namespace of the ImageStream
    #[arg(long, value_name = "NAME")]
    target_namespace: String,
    /// The tag of this build
    #[arg(long, value_name = "TAG")]
    tag: String,
    /// Folder of the Secret with the credentials to push
    #[arg(long, default_value = "", value_name = "FOLDER")]
    push_credentials: String,
    /// Folder of the ConfigMap with further certificate authorities
    #[arg(long, default_value = "", value_name = "FOLDER")]
    ca_bundle: String,
    /// Folder that the tasks of a run share; the image is in `image` in it
    #[arg(long, value_name = "FOLDER")]
    work: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) async fn run(args: &Args) -> Result<Report, Failure> {
    let settings = args.settings.read()?;
    let prefix = settings.registry.prefix.trim_end_matches('/');
    let place = format!("{prefix}/{}/{}:{}", args.target_namespace, args.resource_name, args.tag);
    let image = ImageReference::parse(&place)
        .map_err(|error| Failure::usage(format!("{place:?} is no place for an image: it {error}")))?;
    let failed = |what: String| Failure::new(Reason::PushFailed, format!("{place}: {what}"));

    let mut auth = credentials::read(&args.push_credentials, &image)?;
    let mut authorities = certificates::read(&args.ca_bundle)?;
    if is_internal(&settings.registry) {
        authorities.extend(certificates::of_cluster());
        // To that registry and to no other: the token opens the cluster.
        if auth == RegistryAuth::Anonymous
            && let Ok(token) = fs::read_to_string(TOKEN)
        {
            auth = RegistryAuth::Basic("serviceaccount".to_owned(), token.trim().to_owned());
        }
    }
    let registry =
        Registry::new(&settings.network, authorities, auth).map_err(|refusal| failed(refusal.to_string()))?;
    let reference = reference(&image).map_err(|refusal| failed(refusal.to_string()))?;
    let layout = Layout::open(&args.work, "image").map_err(|error| left(&error))?;
    let configuration = layout.configuration().map_err(|error| left(&error))?;
    let digest = registry.push(&reference, &layout).await.map_err(|error| match error {
        TransferError::Registry(refusal) => failed(refusal.to_string()),
        TransferError::Layout(error) => left(&error),
    })?;
    println!("{place} is {digest}");
    Ok(Report::new()
        .with(results::DIGEST, &digest)
        .with(results::REFERENCE, pinned(&image, &digest))
        .with(results::START_COMMAND, start::encode(&configuration)))
}

/// What the build has left is no image.
fn left(error: &crate::registry::layout::LayoutError) -> Failure {
    Failure::new(
        Reason::BuildFailed,
        format!("What the build has left is no image: {error}"),
    )
}

/// Whether images go to OpenShift's own registry.
fn is_internal(place: &Place) -> bool {
    let host = place.prefix.split('/').next().unwrap_or_default();
    host == INTERNAL_REGISTRY
}
