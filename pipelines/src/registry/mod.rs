//! A client for OCI registries. Registries are untrusted: responses are limited and verified, and errors are classified.
//!
//! Based on oci-client, which limits redirects, sends credentials to no other host and verifies digests.

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

/// Maximum time to establish a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum time in which no byte is sent or received.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Limit of this process's memory, in bytes. oci-client reads manifests and errors without a limit; the process then aborts, and the message
/// that was written at the start remains.
const MAX_MEMORY: u64 = 1 << 30;

/// Maximum size of a manifest or image configuration, in bytes. Registries have the same limit.
pub const MAX_DOCUMENT: usize = 4 << 20;

/// Why a request to a registry failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The image or blob does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Credentials are missing or rejected.
    #[error("{0}")]
    Unauthorized(String),
    /// The registry cannot be reached or has a temporary error.
    #[error("{0}")]
    Unavailable(String),
    /// The response violates the specification or a limit.
    #[error("{0}")]
    InvalidResponse(String),
}

impl From<OciDistributionError> for RegistryError {
    fn from(error: OciDistributionError) -> Self {
        use OciDistributionError as E;
        match error {
            E::ImageManifestNotFoundError(_) => Self::NotFound("not found in the registry".to_owned()),
            E::AuthenticationFailure(_) | E::UnauthorizedError { .. } => {
                Self::Unauthorized("the registry rejects the credentials or requires some".to_owned())
            }
            E::RegistryError { envelope, .. } => envelope.errors.first().map_or_else(
                || Self::InvalidResponse("the registry returned an error without a message".to_owned()),
                |error| {
                    let message = format!(
                        "the registry returned {:?}: {}",
                        error.code,
                        printable(&error.message, 120)
                    );
                    match error.code {
                        OciErrorCode::ManifestUnknown
                        | OciErrorCode::NameUnknown
                        | OciErrorCode::NotFound
                        | OciErrorCode::BlobUnknown => Self::NotFound(message),
                        OciErrorCode::Unauthorized | OciErrorCode::Denied => Self::Unauthorized(message),
                        OciErrorCode::Toomanyrequests => Self::Unavailable(message),
                        _ => Self::InvalidResponse(message),
                    }
                },
            ),
            E::ServerError { code, .. } => Self::of_status(code),
            E::RequestError(error) => {
                let why = root_cause(&error);
                if let Some(status) = error.status() {
                    Self::of_status(status.as_u16())
                } else if error.is_timeout() {
                    Self::Unavailable("the registry did not respond in time".to_owned())
                } else {
                    Self::Unavailable(format!("cannot connect to the registry: {}", printable(&why, 120)))
                }
            }
            E::IoError(_) => Self::Unavailable("the registry closed the connection".to_owned()),
            E::DigestError(_) => {
                Self::InvalidResponse("the content from the registry does not match its digest".to_owned())
            }
            error => Self::InvalidResponse(format!(
                "invalid response of the registry: {}",
                printable(&error.to_string(), 120)
            )),
        }
    }
}

impl RegistryError {
    fn of_status(code: u16) -> Self {
        let message = format!("the registry returned status {code}");
        match code {
            401 | 403 => Self::Unauthorized(message),
            404 => Self::NotFound(message),
            408 | 429 | 500.. => Self::Unavailable(message),
            _ => Self::InvalidResponse(message),
        }
    }
}

/// The root cause, which contains neither URL nor host.
fn root_cause(error: &dyn std::error::Error) -> String {
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
    pub fn new(network: &Network, authorities: &[Vec<u8>], auth: RegistryAuth) -> Result<Self, RegistryError> {
        Self::with_idle_timeout(network, authorities, auth, IDLE_TIMEOUT)
    }

    fn with_idle_timeout(
        network: &Network,
        authorities: &[Vec<u8>],
        auth: RegistryAuth,
        idle_timeout: Duration,
    ) -> Result<Self, RegistryError> {
        limit_memory();
        // Fails if this provider is installed already.
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
                RegistryError::Unavailable(format!("cannot configure the HTTP client: {error}"))
            })
        };
        Ok(Self {
            client: client(Some(idle_timeout))?,
            upload_client: client(None)?,
            auth,
            idle_timeout,
        })
    }

    /// Requests a token, which public repositories need too. Must be called first.
    pub async fn authenticate(&self, image: &Reference, operation: RegistryOperation) -> Result<(), RegistryError> {
        self.client.auth(image, &self.auth, operation).await?;
        let host = image.resolve_registry();
        self.upload_client.store_auth_if_needed(host, &self.auth).await;
        Ok(())
    }
}

/// Converts a reference for oci-client, with the host and namespace of Docker Hub.
pub fn reference(image: &ImageReference) -> Result<Reference, RegistryError> {
    let text = image.qualified();
    text.parse().map_err(|_| {
        RegistryError::InvalidResponse(format!("{} is not an image reference", printable(image.as_str(), 200)))
    })
}

fn limit_memory() {
    let limit = getrlimit(Resource::As);
    let current = limit.current.map_or(MAX_MEMORY, |current| current.min(MAX_MEMORY));
    // Best effort; the pod has a memory limit too.
    let _ = setrlimit(
        Resource::As,
        Rlimit {
            current: Some(current),
            maximum: limit.maximum,
        },
    );
}
