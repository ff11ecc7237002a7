//! Resolves a tag to a digest with `HEAD /v2/<name>/manifests/<tag>` of the OCI distribution specification, and requests the token
//! that many registries require.
//!
//! Users choose the registry, so responses are untrusted: time, size and redirects are bounded, and the result is a digest or a
//! [`RegistryError`]. `oci-client` reads responses without a limit and panics on some, so it is used in tests only. Nothing is
//! logged here.

mod challenge;
mod egress;

use std::time::Duration;

use bytes::Bytes;
use cnbi_shared::config::Network;
use cnbi_shared::credentials;
use cnbi_shared::grammar::image::ImageReference;
use http::header::{ACCEPT, AUTHORIZATION, LOCATION, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use url::Url;

use crate::plan::tag_tracking::is_digest;
use challenge::{Challenge, token};
use egress::ProxyConnector;

/// Limit of the duration of one lookup, with all of its requests.
const DEADLINE: Duration = Duration::from_secs(15);
/// Limit of redirects per request.
const MAX_REDIRECTS: usize = 3;
/// Limit of a token response in bytes.
const TOKEN_LIMIT: usize = 64 * 1024;
/// Limit of a manifest in bytes, from the distribution specification.
const MANIFEST_LIMIT: usize = 4 * 1024 * 1024;
/// Header with the digest of a manifest.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// `Accept` header. Without it a registry may convert the manifest, which changes the digest.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                     application/vnd.docker.distribution.manifest.list.v2+json, \
                     application/vnd.docker.distribution.manifest.v2+json";

/// Client for registries.
#[derive(Clone, Debug)]
pub struct RegistryClient {
    client: Client<hyper_rustls::HttpsConnector<ProxyConnector>, Empty<Bytes>>,
}

/// Why a lookup returned no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The image does not exist.
    #[error("the image does not exist")]
    NotFound,
    /// Access was denied.
    #[error("access denied")]
    Unauthorized,
    /// The registry is overloaded; contains `Retry-After`.
    #[error("the registry is overloaded")]
    Busy(Duration),
    /// The registry is unreachable, or did not respond in time.
    #[error("the registry is unreachable")]
    Unreachable,
    /// The response is invalid.
    #[error("the response of the registry is invalid")]
    InvalidResponse,
}

impl RegistryError {
    /// The label of a metric.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Unauthorized => "unauthorized",
            Self::Busy(_) => "busy",
            Self::Unreachable => "unreachable",
            Self::InvalidResponse => "unintelligible",
        }
    }
}

/// One lookup.
struct DigestRequest {
    /// Origin of the registry. The credential is sent only there, and to the token service.
    origin: url::Origin,
    scheme: &'static str,
    repository: String,
    /// `Basic`, from the pull secret.
    credential: Option<HeaderValue>,
}

impl RegistryClient {
    /// Uses the proxies of `network`, and trusts `authorities` in addition to the system's CA certificates (or `SSL_CERT_FILE`).
    pub fn new(network: &Network, authorities: Vec<CertificateDer<'static>>) -> Result<Self, rustls::Error> {
        let connector = egress::connector(network, authorities)?;
        let mut builder = Client::builder(TokioExecutor::new());
        // Lookups are rare, so idle connections would only cost memory.
        builder.pool_max_idle_per_host(0);
        Ok(Self {
            client: builder.build(connector),
        })
    }

    /// The digest that the tag of `image` points at. `credential` is an `Authorization` header from the pull secret; `is_insecure`
    /// selects plain HTTP.
    pub async fn digest(
        &self,
        image: &ImageReference,
        credential: Option<HeaderValue>,
        is_insecure: bool,
    ) -> Result<String, RegistryError> {
        let result = tokio::time::timeout(DEADLINE, self.resolve(image, credential, is_insecure)).await;
        result.unwrap_or(Err(RegistryError::Unreachable))
    }

    async fn resolve(
        &self,
        image: &ImageReference,
        credential: Option<HeaderValue>,
        is_insecure: bool,
    ) -> Result<String, RegistryError> {
        let (host, repository) = address(image);
        let scheme = if is_insecure { "http" } else { "https" };
        let tag = image.tag().unwrap_or("latest");
        let url = format!("{scheme}://{host}/v2/{repository}/manifests/{tag}");
        let url = Url::parse(&url).map_err(|_| RegistryError::InvalidResponse)?;
        let digest_request = DigestRequest {
            origin: url.origin(),
            scheme,
            repository,
            credential,
        };
        let mut authorization = None;
        let mut response = self
            .manifest(&digest_request, Method::HEAD, &url, authorization.as_ref())
            .await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            authorization = Some(self.authorize(&digest_request, response.headers()).await?);
            response = self
                .manifest(&digest_request, Method::HEAD, &url, authorization.as_ref())
                .await?;
        }
        check_status(&response)?;
        if let Some(value) = response.headers().get(CONTENT_DIGEST) {
            let value = value.to_str().map_err(|_| RegistryError::InvalidResponse)?;
            return Some(value.to_owned())
                .filter(|value| is_digest(value))
                .ok_or(RegistryError::InvalidResponse);
        }
        // Some registries send no digest header: compute the digest of the manifest.
        let response = self
            .manifest(&digest_request, Method::GET, &url, authorization.as_ref())
            .await?;
        check_status(&response)?;
        Ok(digest_of(&read(response, MANIFEST_LIMIT).await?))
    }

    /// Requests the manifest and follows redirects.
    async fn manifest(
        &self,
        digest_request: &DigestRequest,
        method: Method,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response<Incoming>, RegistryError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let is_registry = url.origin() == digest_request.origin;
            let response = self
                .send(method.clone(), &url, authorization.filter(|_| is_registry))
                .await?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let to = to
                .and_then(|to| url.join(to).ok())
                .ok_or(RegistryError::InvalidResponse)?;
            if !(to.scheme() == "https" || to.origin() == digest_request.origin) {
                return Err(RegistryError::InvalidResponse);
            }
            url = to;
        }
        Err(RegistryError::InvalidResponse)
    }

    /// The `Authorization` header that the registry requires: the credential itself, or a token.
    async fn authorize(
        &self,
        digest_request: &DigestRequest,
        headers: &HeaderMap,
    ) -> Result<HeaderValue, RegistryError> {
        let wanted = headers.get_all(WWW_AUTHENTICATE).iter();
        let wanted: Vec<Challenge> = wanted
            .filter_map(|text| text.to_str().ok())
            .flat_map(Challenge::read)
            .collect();
        let bearer = wanted.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service } => Some((realm, service)),
            Challenge::Basic => None,
        });
        let Some((realm, service)) = bearer else {
            let credential = digest_request
                .credential
                .clone()
                .filter(|_| wanted.contains(&Challenge::Basic));
            return credential.ok_or(RegistryError::Unauthorized);
        };
        let mut url = Url::parse(realm).map_err(|_| RegistryError::InvalidResponse)?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || !(url.scheme() == "https" || url.scheme() == digest_request.scheme) {
            return Err(RegistryError::InvalidResponse);
        }
        let scope = format!("repository:{}:pull", digest_request.repository);
        url.query_pairs_mut().append_pair("scope", &scope);
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        let response = self.send(Method::GET, &url, digest_request.credential.as_ref()).await?;
        check_status(&response)?;
        token(&read(response, TOKEN_LIMIT).await?).ok_or(RegistryError::InvalidResponse)
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response<Incoming>, RegistryError> {
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(ACCEPT, MANIFEST_TYPES)
            .header(USER_AGENT, concat!("cnbi-controller/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let request = request.body(Empty::new()).map_err(|_| RegistryError::InvalidResponse)?;
        self.client
            .request(request)
            .await
            .map_err(|_| RegistryError::Unreachable)
    }
}

/// Host and repository of the request. Docker Hub uses other names than its references.
fn address(image: &ImageReference) -> (String, String) {
    let repository = image.repository();
    match credentials::registry_host(image) {
        "docker.io" if repository.contains('/') => ("registry-1.docker.io".to_owned(), repository.to_owned()),
        "docker.io" => ("registry-1.docker.io".to_owned(), format!("library/{repository}")),
        host => (host.to_owned(), repository.to_owned()),
    }
}

/// Maps the status of a response.
fn check_status(response: &Response<Incoming>) -> Result<(), RegistryError> {
    match response.status() {
        StatusCode::OK => Ok(()),
        StatusCode::NOT_FOUND => Err(RegistryError::NotFound),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(RegistryError::Unauthorized),
        status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            let value = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.trim().parse().ok());
            Err(RegistryError::Busy(Duration::from_secs(value.unwrap_or_default())))
        }
        _ => Err(RegistryError::InvalidResponse),
    }
}

async fn read(response: Response<Incoming>, limit: usize) -> Result<Bytes, RegistryError> {
    let body = Limited::new(response.into_body(), limit).collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|_| RegistryError::InvalidResponse)
}

fn digest_of(manifest: &[u8]) -> String {
    format!("sha256:{}", hex::encode(digest(&SHA256, manifest)))
}

#[cfg(test)]
mod tests;
