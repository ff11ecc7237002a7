//! Resolves an image and verifies its signature, for `inspect` and `fetch image`.

use cnbi_shared::contract::{Reason, Settings};
use cnbi_shared::grammar::image::ImageReference;
use cnbi_shared::verdict::printable;
use oci_client::Reference;

use crate::args::SettingsArgs;
use crate::error::StepError;
use crate::registry::image::{ResolvedImage, architecture};
use crate::registry::{Registry, RegistryError, certificates, credentials, reference};
use crate::signature::{self, SignatureError};

/// Arguments to access an image. A path is empty if its workspace is not bound.
#[derive(Clone, Debug, clap::Args)]
pub struct PullArgs {
    /// Folder of the pull secret
    #[arg(long, default_value = "", value_name = "FOLDER")]
    dockerconfig: String,
    /// Folder of the Secret with the public keys for signatures (signatures.keysSecret)
    #[arg(long, default_value = "", value_name = "FOLDER")]
    signature_keys: String,
    /// Folder of the ConfigMap with additional CA certificates (network.caConfigMap)
    #[arg(long, default_value = "", value_name = "FOLDER")]
    ca_bundle: String,
    /// Architecture of the image, with Go's names [default: that of this machine]
    #[arg(long, value_name = "NAME")]
    architecture: Option<String>,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// An image with a valid signature.
pub(super) struct PulledImage {
    pub(super) registry: Registry,
    pub(super) reference: Reference,
    pub(super) image: ResolvedImage,
}

impl PullArgs {
    /// The admin's settings.
    pub(super) fn settings(&self) -> Result<Settings, StepError> {
        self.settings.read()
    }

    /// Resolves the image and verifies its signature.
    pub(super) async fn find(&self, image: &ImageReference) -> Result<PulledImage, StepError> {
        let settings = self.settings.read()?;
        let auth = credentials::read(&self.dockerconfig, image)?;
        let authorities = certificates::read(&self.ca_bundle)?;
        let keys = signature::keys(&self.signature_keys)?;
        let step_error = |error: RegistryError| step_error(image, &error);
        let registry = Registry::new(&settings.network, &authorities, auth).map_err(step_error)?;
        let reference = reference(image).map_err(step_error)?;
        let architecture = self.architecture.as_deref().unwrap_or(architecture());
        let found = registry.resolve(&reference, architecture).await.map_err(step_error)?;
        let judged = signature::check(&registry, &reference, &found.digest, settings.signature_policy, &keys).await;
        judged.map_err(|error| match error {
            SignatureError::Registry(error) => step_error(error),
            SignatureError::Invalid(what) => {
                StepError::new(Reason::SignatureInvalid, format!("{what}: {}", shown(image)))
            }
        })?;
        Ok(PulledImage {
            registry,
            reference,
            image: found,
        })
    }
}

/// The reference for messages.
fn shown(image: &ImageReference) -> String {
    printable(image.as_str(), 200)
}

/// Converts a registry error to a reason of the contract.
pub(super) fn step_error(image: &ImageReference, error: &RegistryError) -> StepError {
    let message = format!("{}: {error}", shown(image));
    match error {
        RegistryError::NotFound(_) => StepError::new(Reason::ImageNotFound, message),
        RegistryError::Unauthorized(_) => StepError::new(Reason::RegistryUnauthorized, message),
        RegistryError::Unavailable(_) => StepError::new(Reason::RegistryUnavailable, message),
        RegistryError::InvalidResponse(_) => StepError::new(Reason::ImageInvalid, message),
    }
}
