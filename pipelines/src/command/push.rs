//! `push`: sends the image that was built to its registry, reads back its digest, and attaches the list of what is in it where one
//! is configured.
//!
//! The layout on the volume was left by a task that ran what a user wrote.

use std::fs;
use std::path::PathBuf;

use cnbi_shared::config::{INTERNAL_REGISTRY, Registry as Place, SbomFormat};
use cnbi_shared::contract::{self, Reason, results, tasks};
use cnbi_shared::grammar::image::ImageReference;
use jiff::Timestamp;
use oci_client::secrets::RegistryAuth;

use super::Duty;
use super::inspect::pinned;
use crate::args::SettingsArgs;
use crate::failure::Failure;
use crate::registry::image::Configuration;
use crate::registry::layout::{Layout, LayoutError};
use crate::registry::transfer::TransferError;
use crate::registry::{Registry, attach, certificates, credentials, reference};
use crate::report::Report;
use crate::sbom;
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
        Registry::new(&settings.network, &authorities, auth).map_err(|refusal| failed(refusal.to_string()))?;
    let reference = reference(&image).map_err(|refusal| failed(refusal.to_string()))?;
    let layout = Layout::open(&args.work, "image").map_err(|error| left(&error))?;
    let configuration = layout.configuration().map_err(|error| left(&error))?;
    let pinned = pinned(&image, &layout.descriptor.digest);
    let list = list(settings.sbom, &layout, &configuration, &pinned)?;
    let digest = registry.push(&reference, &layout).await.map_err(|error| match error {
        TransferError::Registry(refusal) => failed(refusal.to_string()),
        TransferError::Layout(error) => left(&error),
    })?;
    println!("{place} is {digest}");
    if let Some((kind, document)) = list {
        let subject = attach::Subject {
            media_type: layout.media_type(),
            digest: &digest,
            size: layout.bytes.len(),
        };
        let attached = registry.attach(&reference, subject, kind, document).await;
        let attached = attached.map_err(|refusal| failed(format!("the list of what is in it: {refusal}")))?;
        println!("{attached} is the list of what is in it");
    }
    Ok(Report::new()
        .with(results::DIGEST, &digest)
        .with(results::REFERENCE, pinned)
        .with(results::START_COMMAND, start::encode(&configuration)))
}

/// The list of what is in the image that will be known as `pinned`, and its media type, where one is wanted.
fn list(
    format: SbomFormat,
    layout: &Layout,
    configuration: &Configuration,
    pinned: &str,
) -> Result<Option<(&'static str, Vec<u8>)>, Failure> {
    let Some(kind) = sbom::media_type(format) else {
        return Ok(None);
    };
    let subject = sbom::Subject {
        repository: pinned.split('@').next().unwrap_or(pinned),
        digest: &layout.descriptor.digest,
        created: created(configuration),
    };
    let layers = layout.layers().map_err(|error| left(&error))?;
    let packages = sbom::installed::packages(layers)
        .ok_or_else(|| left(&LayoutError::Wrong("nobody can list what is in its layers".to_owned())))?;
    Ok(sbom::document(format, &subject, &packages).map(|document| (kind, document)))
}

/// When the image says that it was made.
fn created(configuration: &Configuration) -> Option<Timestamp> {
    configuration.created.as_ref()?.as_str()?.parse().ok()
}

/// What the build has left is no image.
fn left(error: &LayoutError) -> Failure {
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
