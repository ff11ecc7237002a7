//! Asks a registry which image a tag names: the distribution specification's `HEAD /v2/<name>/manifests/<tag>`, and the token
//! that many registries want for it.
//!
//! Whoever writes a resource names the registry, so whatever one answers is hostile: it is bounded in time and size, may lead
//! only so far, and becomes a digest or one of a few reasons. The client library that the tests push images with reads
//! answers of any length and panics over some, so it is not used here. Nothing is logged in this file.

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
use egress::Outward;

/// How long one question may take, with all that it needs.
const DEADLINE: Duration = Duration::from_secs(15);
/// How often one question may be sent elsewhere.
const REDIRECTS: usize = 3;
/// The largest token, in bytes.
const TOKEN: usize = 64 * 1024;
/// The largest manifest that registries have to take, in bytes.
const MANIFEST: usize = 4 * 1024 * 1024;
/// Where a registry says what a manifest's digest is.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// The kinds of manifest that there are. A registry that is not told may convert one, and then its digest is another.
const KINDS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                     application/vnd.docker.distribution.manifest.list.v2+json, \
                     application/vnd.docker.distribution.manifest.v2+json";

/// Speaks to registries.
#[derive(Clone, Debug)]
pub struct Registries {
    client: Client<hyper_rustls::HttpsConnector<Outward>, Empty<Bytes>>,
}

/// Why a registry gave no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// It has no such tag.
    #[error("it has no such image")]
    NotFound,
    /// It does not let us see the image.
    #[error("it does not let us see the image")]
    Unauthorized,
    /// It asks for patience, perhaps for so long.
    #[error("it asks for patience")]
    Busy(Duration),
    /// It could not be reached, or did not answer in time.
    #[error("it cannot be reached")]
    Unreachable,
    /// It answered with something that makes no sense.
    #[error("its answer makes no sense")]
    Unintelligible,
}

impl Unanswered {
    /// The label of a metric.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Unauthorized => "unauthorized",
            Self::Busy(_) => "busy",
            Self::Unreachable => "unreachable",
            Self::Unintelligible => "unintelligible",
        }
    }
}

/// One question, and what is known on the way to its answer.
struct Question {
    /// Of the registry; every address that the credential may go to has it.
    origin: url::Origin,
    scheme: &'static str,
    repository: String,
    /// `Basic`, from the pull Secret.
    credential: Option<HeaderValue>,
}

impl Registries {
    /// By the proxies of `network`, with `authorities` trusted besides those of this machine; `SSL_CERT_FILE` names others.
    pub fn new(network: &Network, authorities: Vec<CertificateDer<'static>>) -> Result<Self, rustls::Error> {
        let connector = egress::connector(network, authorities)?;
        let mut builder = Client::builder(TokioExecutor::new());
        // Questions are rare, and connections that idle are memory for whoever has the most registries.
        builder.pool_max_idle_per_host(0);
        Ok(Self {
            client: builder.build(connector),
        })
    }

    /// The digest of the image that the tag of `image` names. `credential` is a value for `Authorization` from the pull
    /// Secret; `is_insecure`: over plain HTTP.
    pub async fn digest(
        &self,
        image: &ImageReference,
        credential: Option<HeaderValue>,
        is_insecure: bool,
    ) -> Result<String, Unanswered> {
        let asked = tokio::time::timeout(DEADLINE, self.ask(image, credential, is_insecure)).await;
        asked.unwrap_or(Err(Unanswered::Unreachable))
    }

    async fn ask(
        &self,
        image: &ImageReference,
        credential: Option<HeaderValue>,
        is_insecure: bool,
    ) -> Result<String, Unanswered> {
        let (host, repository) = address(image);
        let scheme = if is_insecure { "http" } else { "https" };
        let tag = image.tag().unwrap_or("latest");
        let url = format!("{scheme}://{host}/v2/{repository}/manifests/{tag}");
        let url = Url::parse(&url).map_err(|_| Unanswered::Unintelligible)?;
        let question = Question {
            origin: url.origin(),
            scheme,
            repository,
            credential,
        };
        let mut authorization = None;
        let mut answer = self
            .manifest(&question, Method::HEAD, &url, authorization.as_ref())
            .await?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            authorization = Some(self.authorize(&question, answer.headers()).await?);
            answer = self
                .manifest(&question, Method::HEAD, &url, authorization.as_ref())
                .await?;
        }
        judged(&answer)?;
        if let Some(told) = answer.headers().get(CONTENT_DIGEST) {
            let told = told.to_str().map_err(|_| Unanswered::Unintelligible)?;
            return Some(told.to_owned())
                .filter(|told| is_digest(told))
                .ok_or(Unanswered::Unintelligible);
        }
        // Some say nothing about it, but what they give can be counted on.
        let answer = self
            .manifest(&question, Method::GET, &url, authorization.as_ref())
            .await?;
        judged(&answer)?;
        Ok(digest_of(&read(answer, MANIFEST).await?))
    }

    /// Asks for the manifest, wherever that leads within bounds.
    async fn manifest(
        &self,
        question: &Question,
        method: Method,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            let is_registry = url.origin() == question.origin;
            let answer = self
                .send(method.clone(), &url, authorization.filter(|_| is_registry))
                .await?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let to = to.and_then(|to| url.join(to).ok()).ok_or(Unanswered::Unintelligible)?;
            if !(to.scheme() == "https" || to.origin() == question.origin) {
                return Err(Unanswered::Unintelligible);
            }
            url = to;
        }
        Err(Unanswered::Unintelligible)
    }

    /// What the registry wants to see: the credential itself, or a token that is had for it.
    async fn authorize(&self, question: &Question, headers: &HeaderMap) -> Result<HeaderValue, Unanswered> {
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
            let credential = question
                .credential
                .clone()
                .filter(|_| wanted.contains(&Challenge::Basic));
            return credential.ok_or(Unanswered::Unauthorized);
        };
        let mut url = Url::parse(realm).map_err(|_| Unanswered::Unintelligible)?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || !(url.scheme() == "https" || url.scheme() == question.scheme) {
            return Err(Unanswered::Unintelligible);
        }
        let scope = format!("repository:{}:pull", question.repository);
        url.query_pairs_mut().append_pair("scope", &scope);
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        let answer = self.send(Method::GET, &url, question.credential.as_ref()).await?;
        judged(&answer)?;
        token(&read(answer, TOKEN).await?).ok_or(Unanswered::Unintelligible)
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(ACCEPT, KINDS)
            .header(USER_AGENT, concat!("cnbi-controller/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let request = request.body(Empty::new()).map_err(|_| Unanswered::Unintelligible)?;
        self.client.request(request).await.map_err(|_| Unanswered::Unreachable)
    }
}

/// Host and repository as they are asked for. Docker Hub's have other names in references.
fn address(image: &ImageReference) -> (String, String) {
    let repository = image.repository();
    match credentials::registry(image) {
        "docker.io" if repository.contains('/') => ("registry-1.docker.io".to_owned(), repository.to_owned()),
        "docker.io" => ("registry-1.docker.io".to_owned(), format!("library/{repository}")),
        host => (host.to_owned(), repository.to_owned()),
    }
}

/// What the status of an answer means.
fn judged(answer: &Response<Incoming>) -> Result<(), Unanswered> {
    match answer.status() {
        StatusCode::OK => Ok(()),
        StatusCode::NOT_FOUND => Err(Unanswered::NotFound),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Unanswered::Unauthorized),
        status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            let told = answer
                .headers()
                .get(RETRY_AFTER)
                .and_then(|told| told.to_str().ok()?.trim().parse().ok());
            Err(Unanswered::Busy(Duration::from_secs(told.unwrap_or_default())))
        }
        _ => Err(Unanswered::Unintelligible),
    }
}

async fn read(answer: Response<Incoming>, limit: usize) -> Result<Bytes, Unanswered> {
    let body = Limited::new(answer.into_body(), limit).collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|_| Unanswered::Unintelligible)
}

fn digest_of(manifest: &[u8]) -> String {
    format!("sha256:{}", hex::encode(digest(&SHA256, manifest)))
}

#[cfg(test)]
mod tests;
