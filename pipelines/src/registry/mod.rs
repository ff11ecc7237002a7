//! Speaks to OCI registries, which are hostile: what they send is bounded and verified, and each way they can refuse is told apart.
//!
//! A thin layer over oci-client, which follows redirects within bounds, sends credentials to no other host and verifies digests.
//! Nothing here knows what an image is for.

pub mod attach;
pub mod certificates;
pub mod credentials;
pub mod image;
pub mod layout;
pub mod transfer;

use std::time::Duration;

use cnbi_shared::config::Network;
use cnbi_shared::grammar::image::ImageReference;
use cnbi_shared::verdict::printable;
use oci_client::client::{Certificate, CertificateEncoding, Client, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Longest time until a connection is established.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest time without a byte sent or received.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Most memory that this process may ask for, in bytes. The library reads manifests and errors whole, however long a registry
/// makes them; the program then ends, and what it wrote beforehand says so.
const MEMORY: u64 = 1 << 30;

/// Most bytes of a manifest or of an image's configuration. Registries keep to the same bound.
pub const DOCUMENT: usize = 4 << 20;

/// How a registry does not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has no such thing.
    #[error("{0}")]
    NotFound(String),
    /// It refuses us.
    #[error("{0}")]
    Unauthorized(String),
    /// It cannot be reached, or cannot answer now.
    #[error("{0}")]
    Unavailable(String),
    /// What it answers makes no sense.
    #[error("{0}")]
    Nonsense(String),
}

impl From<OciDistributionError> for Refusal {
    fn from(error: OciDistributionError) -> Self {
        use OciDistributionError as E;
        match error {
            E::ImageManifestNotFoundError(_) => Self::NotFound("the registry has no such image".to_owned()),
            E::AuthenticationFailure(_) | E::UnauthorizedError { .. } => {
                Self::Unauthorized("the registry refuses the credentials, or asks for some".to_owned())
            }
            E::RegistryError { envelope, .. } => envelope.errors.first().map_or_else(
                || Self::Nonsense("the registry refuses without a word".to_owned()),
                |error| {
                    let said = format!("the registry says {:?}: {}", error.code, printable(&error.message, 120));
                    match error.code {
                        OciErrorCode::ManifestUnknown
                        | OciErrorCode::NameUnknown
                        | OciErrorCode::NotFound
                        | OciErrorCode::BlobUnknown => Self::NotFound(said),
                        OciErrorCode::Unauthorized | OciErrorCode::Denied => Self::Unauthorized(said),
                        OciErrorCode::Toomanyrequests => Self::Unavailable(said),
                        _ => Self::Nonsense(said),
                    }
                },
            ),
            E::ServerError { code, .. } => Self::of_status(code),
            E::RequestError(error) => {
                let why = innermost(&error);
                if let Some(status) = error.status() {
                    Self::of_status(status.as_u16())
                } else if error.is_timeout() {
                    Self::Unavailable("the registry does not answer in time".to_owned())
                } else {
                    Self::Unavailable(format!("the registry cannot be reached: {}", printable(&why, 120)))
                }
            }
            E::IoError(_) => Self::Unavailable("the registry broke off its answer".to_owned()),
            E::DigestError(_) => Self::Nonsense("what the registry sends is not what its digest says".to_owned()),
            error => Self::Nonsense(format!("the registry's answer: {}", printable(&error.to_string(), 120))),
        }
    }
}

impl Refusal {
    fn of_status(code: u16) -> Self {
        let said = format!("the registry answers with status {code}");
        match code {
            401 | 403 => Self::Unauthorized(said),
            404 => Self::NotFound(said),
            408 | 429 | 500.. => Self::Unavailable(said),
            _ => Self::Nonsense(said),
        }
    }
}

/// The last cause, which names neither URL nor host.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// A client for one registry with its credentials.
pub struct Registry {
    client: Client,
    /// Without a read timeout, which would limit the whole upload: see [`transfer`].
    upload_client: Client,
    auth: RegistryAuth,
    idle_timeout: Duration,
}

impl Registry {
    /// Configures a client. `authorities` are certificates in DER that are trusted in addition to the public ones.
    pub fn new(network: &Network, authorities: &[Vec<u8>], auth: RegistryAuth) -> Result<Self, Refusal> {
        Self::with_idle_timeout(network, authorities, auth, IDLE_TIMEOUT)
    }

    fn with_idle_timeout(
        network: &Network,
        authorities: &[Vec<u8>],
        auth: RegistryAuth,
        idle_timeout: Duration,
    ) -> Result<Self, Refusal> {
        limit_memory();
        // Fails if a provider is installed already, which is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let non_empty = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let config = |read_timeout| ClientConfig {
            protocol: ClientProtocol::HttpsExcept(network.insecure_registries.clone()),
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout,
            http_proxy: non_empty(&network.http_proxy),
            https_proxy: non_empty(&network.https_proxy),
            no_proxy: Some(network.no_proxy.join(",")).filter(|list| !list.is_empty()),
            user_agent: concat!("cnbi-step/", env!("CARGO_PKG_VERSION")),
            use_monolithic_push: true,
            extra_root_certificates: authorities
                .iter()
                .map(|data| Certificate {
                    encoding: CertificateEncoding::Der,
                    data: data.clone(),
                })
                .collect(),
            ..ClientConfig::default()
        };
        let client = |read_timeout| {
            Client::try_from(config(read_timeout)).map_err(|error| {
                let error = printable(&error.to_string(), 120);
                Refusal::Unavailable(format!("the HTTP client cannot be configured: {error}"))
            })
        };
        Ok(Self {
            client: client(Some(idle_timeout))?,
            upload_client: client(None)?,
            auth,
            idle_timeout,
        })
    }

    /// Requests a token, which public repositories need too. Call it before any other method.
    pub async fn authenticate(&self, image: &Reference, operation: RegistryOperation) -> Result<(), Refusal> {
        self.client.auth(image, &self.auth, operation).await?;
        let host = image.resolve_registry();
        self.upload_client.store_auth_if_needed(host, &self.auth).await;
        Ok(())
    }
}

/// The reference as the library has it, with Docker Hub's names written out.
pub fn reference(image: &ImageReference) -> Result<Reference, Refusal> {
    let text = image.qualified();
    text.parse()
        .map_err(|_| Refusal::Nonsense(format!("{} is no image reference", printable(image.as_str(), 200))))
}

fn limit_memory() {
    let limit = getrlimit(Resource::As);
    let current = limit.current.map_or(MEMORY, |current| current.min(MEMORY));
    // One that cannot be lowered is left: it is a second line, behind the pod's own.
    let _ = setrlimit(
        Resource::As,
        Rlimit {
            current: Some(current),
            maximum: limit.maximum,
        },
    );
}
