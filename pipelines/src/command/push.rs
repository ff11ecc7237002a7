//! `push`: pushes the built image, reads back its digest and attaches an SBOM if one is configured.
//!
//! The layout in the workspace is untrusted.

use std::fs;
use std::path::PathBuf;

use cnbi_shared::config::{INTERNAL_REGISTRY, Registry as RegistrySettings, SbomFormat};
use cnbi_shared::contract::{self, Reason, results, tasks};
use cnbi_shared::grammar::image::ImageReference;
use jiff::Timestamp;
use oci_client::secrets::RegistryAuth;

use super::StepContract;
use crate::args::SettingsArgs;
use crate::base_image::pinned;
use crate::error::StepError;
use crate::registry::image::Configuration;
use crate::registry::layout::{Layout, LayoutError};
use crate::registry::transfer::TransferError;
use crate::registry::{Registry, attach, certificates, credentials, reference};
use crate::report::Report;
use crate::sbom;
use crate::start_command;

/// The pod's token, which is a password for OpenShift's internal registry.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

pub(super) const CONTRACT: StepContract = StepContract {
    name: "push",
    tasks: &[
        (&contract::PACKAGE_LIST, tasks::PUSH),
        (&contract::GIT_REPOSITORY, tasks::PUSH),
    ],
    reasons: &[Reason::PushFailed, Reason::BuildFailed],
    results: &[results::DIGEST, results::REFERENCE, results::START_COMMAND],
};

/// Arguments of `push`. A path is empty if its workspace is not bound.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Name of the resource and of its repository in the registry
    #[arg(long, value_name = "NAME")]
    resource_name: String,
    /// Namespace of the ImageStream
    #[arg(long, value_name = "NAME")]
    target_namespace: String,
    /// Tag of this build
    #[arg(long, value_name = "TAG")]
    tag: String,
    /// Folder of the push secret (registry.pushSecret)
    #[arg(long, default_value = "", value_name = "FOLDER")]
    push_credentials: String,
    /// Folder of the ConfigMap with additional CA certificates (network.caConfigMap)
    #[arg(long, default_value = "", value_name = "FOLDER")]
    ca_bundle: String,
    /// Shared folder of the run's tasks; the image is in `image`
    #[arg(long, value_name = "FOLDER")]
    work: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) async fn run(args: &Args) -> Result<Report, StepError> {
    let settings = args.settings.read()?;
    let prefix = settings.registry.prefix.trim_end_matches('/');
    let target = format!("{prefix}/{}/{}:{}", args.target_namespace, args.resource_name, args.tag);
    let image = ImageReference::parse(&target).map_err(|error| {
        StepError::usage(format!(
            "cannot push to {target:?}: the reference {error}; correct registry.prefix"
        ))
    })?;
    let failed = |what: String| StepError::new(Reason::PushFailed, format!("{target}: {what}"));

    let mut auth = credentials::read(&args.push_credentials, &image)?;
    let mut authorities = certificates::read(&args.ca_bundle)?;
    if is_internal(&settings.registry) {
        authorities.extend(certificates::service_ca());
        // The token gives access to the cluster, so it is sent to the internal registry only.
        if auth == RegistryAuth::Anonymous
            && let Ok(token) = fs::read_to_string(TOKEN)
        {
            auth = RegistryAuth::Basic("serviceaccount".to_owned(), token.trim().to_owned());
        }
    }
    let registry = Registry::new(&settings.network, &authorities, auth).map_err(|error| failed(error.to_string()))?;
    let reference = reference(&image).map_err(|error| failed(error.to_string()))?;
    let layout = Layout::open(&args.work, "image").map_err(|error| invalid_layout(&error))?;
    let configuration = layout.configuration().map_err(|error| invalid_layout(&error))?;
    let pinned = pinned(&image, &layout.descriptor.digest);
    let sbom_document = sbom_document(settings.sbom, &layout, &configuration, &pinned)?;
    let digest = registry.push(&reference, &layout).await.map_err(|error| match error {
        TransferError::Registry(error) => failed(error.to_string()),
        TransferError::Layout(error) => invalid_layout(&error),
    })?;
    println!("pushed {target} as {digest}");
    if let Some((kind, document)) = sbom_document {
        let subject = attach::Subject {
            media_type: layout.media_type(),
            digest: &digest,
            size: layout.bytes.len(),
        };
        let attached = registry.attach(&reference, subject, kind, document).await;
        let attached = attached.map_err(|error| failed(format!("cannot attach the SBOM: {error}")))?;
        println!("attached the SBOM {attached}");
    }
    Ok(Report::new()
        .with(results::DIGEST, &digest)
        .with(results::REFERENCE, pinned)
        .with(results::START_COMMAND, start_command::encode(&configuration)))
}

/// Media type and SBOM of the image with the reference `pinned`, if one is configured.
fn sbom_document(
    format: SbomFormat,
    layout: &Layout,
    configuration: &Configuration,
    pinned: &str,
) -> Result<Option<(&'static str, Vec<u8>)>, StepError> {
    let Some(kind) = sbom::media_type(format) else {
        return Ok(None);
    };
    let subject = sbom::Image {
        repository: pinned.split('@').next().unwrap_or(pinned),
        digest: &layout.descriptor.digest,
        created: created(configuration),
    };
    let layers = layout.layers().map_err(|error| invalid_layout(&error))?;
    let packages = sbom::python_packages::packages(layers).ok_or_else(|| {
        invalid_layout(&LayoutError::Invalid(
            "its layers cannot be read to create the SBOM".to_owned(),
        ))
    })?;
    Ok(sbom::document(format, &subject, &packages).map(|document| (kind, document)))
}

/// When the image was created, according to its configuration.
fn created(configuration: &Configuration) -> Option<Timestamp> {
    configuration.created.as_ref()?.as_str()?.parse().ok()
}

/// The build produced an invalid layout.
fn invalid_layout(error: &LayoutError) -> StepError {
    StepError::new(
        Reason::BuildFailed,
        format!("The build produced an invalid image: {error}"),
    )
}

/// Whether images are pushed to OpenShift's internal registry.
fn is_internal(target: &RegistrySettings) -> bool {
    let host = target.prefix.split('/').next().unwrap_or_default();
    host == INTERNAL_REGISTRY
}
