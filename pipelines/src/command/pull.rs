//! What `inspect` and `fetch image` have in common: an image that somebody else made is found, and its signature judged.

use cnbi_shared::contract::{Reason, Settings};
use cnbi_shared::grammar::image::ImageReference;
use cnbi_shared::verdict::printable;
use oci_client::Reference;

use crate::args::SettingsArgs;
use crate::failure::Failure;
use crate::registry::image::{Resolved, architecture};
use crate::registry::{Refusal, Registry, certificates, credentials, reference};
use crate::signature::{self, SignatureError};

/// What is needed to get an image. An empty path: that workspace is not bound.
#[derive(Clone, Debug, clap::Args)]
pub struct PullArgs {
    /// Folder of the Secret with the registry's credentials
    #[arg(long, default_value = "", value_name = "FOLDER")]
    dockerconfig: String,
    /// Folder of the Secret with the public keys that signatures are verified with
    #[arg(long, default_value = "", value_name = "FOLDER")]
    signature_keys: String,
    /// Folder of the ConfigMap with further certificate authorities
    #[arg(long, default_value = "", value_name = "FOLDER")]
    ca_bundle: String,
    /// The image is wanted for linux on this processor, as Go names it [default: the one that this program runs on]
    #[arg(long, value_name = "NAME")]
    architecture: Option<String>,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// An image that may be used.
pub(super) struct Found {
    pub(super) registry: Registry,
    pub(super) reference: Reference,
    pub(super) image: Resolved,
}

impl PullArgs {
    /// What the admin decided.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        self.settings.read()
    }

    /// Finds the image and judges its signature.
    pub(super) async fn find(&self, image: &ImageReference) -> Result<Found, Failure> {
        let settings = self.settings.read()?;
        let auth = credentials::read(&self.dockerconfig, image)?;
        let authorities = certificates::read(&self.ca_bundle)?;
        let keys = signature::keys(&self.signature_keys)?;
        let refused = |refusal: Refusal| refused(image, &refusal);
        let registry = Registry::new(&settings.network, &authorities, auth).map_err(refused)?;
        let reference = reference(image).map_err(refused)?;
        let architecture = self.architecture.as_deref().unwrap_or(architecture());
        let found = registry.resolve(&reference, architecture).await.map_err(refused)?;
        let judged = signature::check(&registry, &reference, &found.digest, settings.signature_policy, &keys).await;
        judged.map_err(|error| match error {
            SignatureError::Registry(refusal) => refused(refusal),
            SignatureError::Invalid(what) => {
                Failure::new(Reason::SignatureInvalid, format!("{what}: {}", shown(image)))
            }
        })?;
        Ok(Found {
            registry,
            reference,
            image: found,
        })
    }
}

/// The image as it is named in messages.
fn shown(image: &ImageReference) -> String {
    printable(image.as_str(), 200)
}

/// A registry's refusal, by the contract's reasons.
pub(super) fn refused(image: &ImageReference, refusal: &Refusal) -> Failure {
    let said = format!("{}: {refusal}", shown(image));
    match refusal {
        Refusal::NotFound(_) => Failure::new(Reason::ImageNotFound, said),
        Refusal::Unauthorized(_) => Failure::new(Reason::RegistryUnauthorized, said),
        Refusal::Unavailable(_) => Failure::new(Reason::RegistryUnavailable, said),
        Refusal::Nonsense(_) => Failure::new(Reason::ImageInvalid, said),
    }
}
