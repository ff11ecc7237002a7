//! Reads facts from the API server, for each review anew. An object that is missing in the API server's cache is read again from
//! etcd, so a Secret counts as soon as it is created.
//!
//! Responses are parsed here and not by kube, which logs what it cannot parse: a response may hold a Secret. The content of a Secret
//! is zeroed as soon as the registries in it are known.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_shared::api::annotations;
use cnbi_shared::facts::{Lookup, LookupResult, PullSecret, StreamOwner};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::admission_request::UserInfo;
use crate::facts::{FactSource, Freshness, LookupError};
use crate::health::ApiReach;

/// Most bytes of a response. etcd's objects are smaller than half of it.
const RESPONSE_LIMIT: usize = 4 * 1024 * 1024;

/// Initial buffer, in bytes, for a response without Content-Length: larger than a Secret with credentials for a few registries.
const UNKNOWN_LENGTH: usize = 16 * 1024;

/// The API group of ImageStreams, on clusters that have it.
const IMAGE_STREAMS: &str = "/apis/image.openshift.io/v1";

/// Reads facts from the API server.
pub struct ApiServer {
    client: Client,
    /// Limits concurrent requests: each takes a connection with HTTP/1.1, and an idle connection about 60 KiB.
    in_flight: Semaphore,
    reach: Arc<ApiReach>,
}

/// The result of a GET.
enum Fetched {
    Object(Zeroizing<Vec<u8>>),
    /// The resource is served, and has no object of that name.
    ObjectNotFound,
    /// The resource is not served.
    ResourceNotFound,
}

impl ApiServer {
    /// Sends at most `in_flight` requests at once, and records in `reach` whether the API server responds.
    pub fn new(client: Client, in_flight: usize, reach: Arc<ApiReach>) -> Self {
        let in_flight = Semaphore::new(in_flight.clamp(1, Semaphore::MAX_PERMITS));
        Self {
            client,
            in_flight,
            reach,
        }
    }

    async fn look_up(
        &self,
        lookup: &Lookup,
        user: &UserInfo,
        freshness: Freshness,
    ) -> Result<LookupResult, LookupError> {
        match lookup {
            Lookup::Secret { namespace, name } => {
                let path = format!("/api/v1/namespaces/{}/secrets/{}", segment(namespace)?, segment(name)?);
                match self.get_existing(&path, name, freshness).await? {
                    Fetched::Object(json) => Ok(LookupResult::Secret(read_secret(&json)?)),
                    Fetched::ObjectNotFound => Ok(LookupResult::No),
                    Fetched::ResourceNotFound => Err(LookupError::Status(404)),
                }
            }
            Lookup::Namespace { name } => {
                let path = format!("/api/v1/namespaces/{}", segment(name)?);
                match self.get_existing(&path, name, freshness).await? {
                    Fetched::Object(_) => Ok(LookupResult::Yes),
                    Fetched::ObjectNotFound => Ok(LookupResult::No),
                    Fetched::ResourceNotFound => Err(LookupError::Status(404)),
                }
            }
            // Absence is in the user's favour here, so it must be current.
            Lookup::ImageStream { namespace, name } => {
                let (namespace, segment) = (segment(namespace)?, segment(name)?);
                let path = format!("{IMAGE_STREAMS}/namespaces/{namespace}/imagestreams/{segment}");
                match self.get(&path, name).await? {
                    Fetched::Object(json) => Ok(LookupResult::ImageStream(read_owner(&json)?)),
                    Fetched::ObjectNotFound => Ok(LookupResult::No),
                    Fetched::ResourceNotFound => self.is_image_stream_api_absent().await,
                }
            }
            Lookup::Access { namespace } => self.may_create(namespace, user).await,
            // Known without a lookup, see `facts::known_facts`.
            Lookup::Configuration | Lookup::Requester => Ok(LookupResult::Yes),
        }
    }

    /// A cluster without OpenShift's image API has no ImageStream of another owner. An aggregated API that does not respond also
    /// gives 404 for its objects, so this reads the API group itself.
    async fn is_image_stream_api_absent(&self) -> Result<LookupResult, LookupError> {
        let (status, _) = self.send(Method::GET, IMAGE_STREAMS, Vec::new()).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(LookupResult::No),
            _ => Err(LookupError::Status(404)),
        }
    }

    async fn may_create(&self, namespace: &str, user: &UserInfo) -> Result<LookupResult, LookupError> {
        #[derive(Deserialize)]
        struct Review {
            status: ReviewStatus,
        }
        #[derive(Deserialize)]
        struct ReviewStatus {
            allowed: bool,
        }
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.username.clone()),
                uid: user.uid.clone(),
                groups: user.groups.clone(),
                extra: user.extra.clone(),
                resource_attributes: Some(ResourceAttributes {
                    group: Some("image.openshift.io".to_owned()),
                    resource: Some("imagestreams".to_owned()),
                    verb: Some("create".to_owned()),
                    namespace: Some(namespace.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let body = serde_json::to_vec(&review).map_err(|_| LookupError::InvalidResponse)?;
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let (status, json) = self.send(Method::POST, path, body).await?;
        check_status(status)?;
        let Review { status } = serde_json::from_slice(&json).map_err(|_| LookupError::InvalidResponse)?;
        Ok(if status.allowed {
            LookupResult::Yes
        } else {
            LookupResult::No
        })
    }

    /// Gets an object whose existence is in the user's favour: with [`Freshness::Any`] from the API server's cache, and from etcd if
    /// it is missing there.
    async fn get_existing(&self, path: &str, name: &str, freshness: Freshness) -> Result<Fetched, LookupError> {
        if freshness == Freshness::Any
            && let object @ Fetched::Object(_) = self.get(&format!("{path}?resourceVersion=0"), name).await?
        {
            return Ok(object);
        }
        self.get(path, name).await
    }

    async fn get(&self, path: &str, name: &str) -> Result<Fetched, LookupError> {
        let (status, json) = self.send(Method::GET, path, Vec::new()).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(if is_not_found_of(&json, name) {
                Fetched::ObjectNotFound
            } else {
                Fetched::ResourceNotFound
            });
        }
        check_status(status)?;
        // A proxy may respond in the API server's place, with status 200 and an HTML page.
        if is_object_named(&json, name) {
            Ok(Fetched::Object(json))
        } else {
            Err(LookupError::InvalidResponse)
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Zeroizing<Vec<u8>>), LookupError> {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .map_err(|_| LookupError::InvalidName)?;
        let _permit = self.in_flight.acquire().await.map_err(|_| LookupError::Unreachable)?;
        let response = self.client.send(request).await.map_err(|error| self.lost(&error))?;
        self.reach.succeeded();
        let status = response.status();
        let mut frames = response.into_body();
        let mut json = Zeroizing::new(Vec::with_capacity(expected_size(&frames)));
        while let Some(frame) = frames.frame().await {
            let Ok(data) = frame.map_err(|error| self.lost(&error))?.into_data() else {
                continue;
            };
            if json.len() + data.len() > RESPONSE_LIMIT {
                return Err(LookupError::InvalidResponse);
            }
            json.extend_from_slice(&data);
        }
        Ok((status, json))
    }

    fn lost(&self, error: &kube::Error) -> LookupError {
        self.reach.failed();
        tracing::warn!(%error, "a request to the API server failed");
        LookupError::Unreachable
    }
}

impl FactSource for ApiServer {
    fn read<'a>(
        &'a self,
        lookup: &'a Lookup,
        user: &'a UserInfo,
        freshness: Freshness,
    ) -> BoxFuture<'a, Result<LookupResult, LookupError>> {
        self.look_up(lookup, user, freshness).boxed()
    }
}

/// The size of the whole response, so that the buffer does not grow and leave copies of a Secret behind; and no larger, because
/// the whole buffer is zeroed.
fn expected_size(body: &Body) -> usize {
    let size = body.size_hint().exact().map(usize::try_from);
    size.map_or(UNKNOWN_LENGTH, |size| {
        size.unwrap_or(RESPONSE_LIMIT).min(RESPONSE_LIMIT)
    })
}

fn check_status(status: StatusCode) -> Result<(), LookupError> {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(LookupError::Forbidden),
        status if status.is_success() => Ok(()),
        status => Err(LookupError::Status(status.as_u16())),
    }
}

/// A name that needs no escaping in a URL. The rules look up only such names; this does not rely on it.
fn segment(name: &str) -> Result<&str, LookupError> {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    let is_valid = name.len() <= 253 && name.bytes().all(is_allowed) && name.bytes().any(|byte| byte != b'.');
    if is_valid {
        Ok(name)
    } else {
        Err(LookupError::InvalidName)
    }
}

/// Whether a 404 is about the object of that name, and not about its resource.
fn is_not_found_of(json: &[u8], name: &str) -> bool {
    #[derive(Deserialize)]
    struct Status<'a> {
        #[serde(borrow, default)]
        reason: Cow<'a, str>,
        #[serde(borrow)]
        details: Option<Details<'a>>,
    }
    #[derive(Deserialize)]
    struct Details<'a> {
        #[serde(borrow, default)]
        name: Cow<'a, str>,
    }
    serde_json::from_slice::<Status<'_>>(json)
        .is_ok_and(|status| status.reason == "NotFound" && status.details.is_some_and(|details| details.name == name))
}

/// Whether this is an object with that name.
fn is_object_named(json: &[u8], name: &str) -> bool {
    #[derive(Deserialize)]
    struct Object<'a> {
        #[serde(borrow)]
        metadata: Metadata<'a>,
    }
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
    }
    serde_json::from_slice::<Object<'_>>(json).is_ok_and(|object| object.metadata.name == name)
}

fn read_secret(json: &[u8]) -> Result<PullSecret, LookupError> {
    #[derive(Deserialize)]
    struct Secret<'a> {
        #[serde(borrow, default, rename = "type")]
        secret_type: Cow<'a, str>,
        #[serde(borrow)]
        data: Option<Data<'a>>,
    }
    /// The two keys with registry credentials; all others are skipped.
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow, rename = ".dockerconfigjson")]
        docker_config_json: Option<&'a str>,
        #[serde(borrow, rename = ".dockercfg")]
        docker_cfg: Option<&'a str>,
    }
    let Secret { secret_type, data } = serde_json::from_slice(json).map_err(|_| LookupError::InvalidResponse)?;
    let encoded = match &*secret_type {
        PullSecret::DOCKER_CONFIG_JSON => data.and_then(|data| data.docker_config_json),
        PullSecret::DOCKER_CFG => data.and_then(|data| data.docker_cfg),
        _ => None,
    };
    let content = encoded
        .map(|text| STANDARD.decode(text).map(Zeroizing::new))
        .transpose();
    let content = content.map_err(|_| LookupError::InvalidResponse)?;
    Ok(PullSecret::parse(
        &secret_type,
        content.as_ref().map(|content| content.as_slice()),
    ))
}

fn read_owner(json: &[u8]) -> Result<StreamOwner, LookupError> {
    #[derive(Deserialize)]
    struct Stream<'a> {
        #[serde(borrow)]
        metadata: Metadata<'a>,
    }
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow)]
        annotations: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
    }
    let Stream { metadata } = serde_json::from_slice(json).map_err(|_| LookupError::InvalidResponse)?;
    let mark = metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(annotations::OWNED_BY));
    Ok(StreamOwner::from_annotation(mark.map(|mark| &**mark)))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tower::service_fn;

    use super::*;

    #[tokio::test]
    async fn concurrent_requests_are_limited_and_all_are_answered() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let service = {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            service_fn(move |_: http::Request<Body>| {
                let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                async move {
                    most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    now.fetch_sub(1, Ordering::Relaxed);
                    let namespace = br#"{"metadata":{"name":"x"}}"#.to_vec();
                    Ok::<_, Infallible>(http::Response::new(Body::from(namespace)))
                }
            })
        };
        let reach = Arc::new(ApiReach::default());
        let api_server = ApiServer::new(Client::new(service, "default"), 3, reach);
        let (lookup, user) = (Lookup::Namespace { name: "x".to_owned() }, UserInfo::default());
        let reads = (0..20).map(|_| api_server.read(&lookup, &user, Freshness::Any));
        assert_eq!(join_all(reads).await, vec![Ok(LookupResult::Yes); 20]);
        assert_eq!((now.load(Ordering::Relaxed), most.load(Ordering::Relaxed)), (0, 3));
    }

    #[test]
    fn only_valid_names_get_into_a_url() {
        for name in ["a", "a-b.c", "0"] {
            assert_eq!(segment(name), Ok(name));
        }
        for name in ["", ".", "..", "../x", "a/b", "a%2fb", "A", "a?b", "a#b", "ä", "a\n"] {
            assert_eq!(segment(name), Err(LookupError::InvalidName), "{name}");
        }
    }

    #[test]
    fn a_missing_object_is_distinguished_from_a_missing_api() {
        let object =
            br#"{"kind":"Status","reason":"NotFound","details":{"name":"x","kind":"imagestreams"},"code":404}"#;
        assert!(is_not_found_of(object, "x"));
        assert!(!is_not_found_of(object, "y"));
        let resource = br#"{"kind":"Status","message":"the server could not find the requested resource","reason":"NotFound","details":{},"code":404}"#;
        assert!(!is_not_found_of(resource, "x"));
        assert!(!is_not_found_of(b"404 page not found\n", "x"));
    }

    #[test]
    fn a_response_is_used_only_if_it_is_the_requested_object() {
        assert!(is_object_named(
            br#"{"kind":"Namespace","metadata":{"labels":{},"name":"x"},"spec":{}}"#,
            "x"
        ));
        for other in [
            r#"{"metadata":{"name":"y"}}"#,
            r#"{"metadata":{"name":"x"}"#,
            r#"{"metadata":{}}"#,
            r#"{"name":"x"}"#,
            "<html>x</html>",
            "",
        ] {
            assert!(!is_object_named(other.as_bytes(), "x"), "{other}");
        }
    }

    #[test]
    fn of_a_secret_only_the_registries_are_read() {
        let encoded = STANDARD.encode(r#"{"auths":{"quay.io":{"auth":"eA=="}}}"#);
        let secret = |kind: &str, key: &str, value: &str| {
            format!(r#"{{"type":"{kind}","data":{{"other":"eA==","{key}":"{value}"}}}}"#)
        };
        let read = |text: String| read_secret(text.as_bytes());
        assert_eq!(
            read(secret(PullSecret::DOCKER_CONFIG_JSON, ".dockerconfigjson", &encoded)),
            Ok(PullSecret::Registries(vec!["quay.io".to_owned()]))
        );
        assert_eq!(
            read(secret("Opaque", ".dockerconfigjson", &encoded)),
            Ok(PullSecret::WrongType)
        );
        assert_eq!(
            read(secret(PullSecret::DOCKER_CFG, ".dockerconfigjson", &encoded)),
            Ok(PullSecret::Unreadable)
        );
        assert_eq!(
            read(secret(PullSecret::DOCKER_CFG, ".dockercfg", "!")),
            Err(LookupError::InvalidResponse)
        );
        assert_eq!(read("[1".to_owned()), Err(LookupError::InvalidResponse));
    }

    #[test]
    fn of_an_image_stream_only_the_owner_is_read() {
        let stream = br#"{"metadata":{"name":"x","annotations":{"a":"b","meteor.zone/owned-by":"ns/x"}}}"#;
        let owner = StreamOwner::Resource {
            namespace: "ns".to_owned(),
            name: "x".to_owned(),
        };
        assert_eq!(read_owner(stream), Ok(owner));
        assert_eq!(read_owner(br#"{"metadata":{}}"#), Ok(StreamOwner::Unmanaged));
    }
}
