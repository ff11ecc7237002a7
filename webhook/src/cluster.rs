//! Reads facts from the API server, for each review anew: nothing is cached here, and what the API server's own cache lacks
//! is looked up behind it, so a Secret made a moment ago counts.
//!
//! Answers are read here and not by the client library, which writes what it cannot parse into the log: an answer may
//! hold a Secret. What is read of a Secret is zeroed as soon as the registries' names are known.

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

use crate::facts::{FactSource, Freshness, Unread};
use crate::health::ApiReach;
use crate::review::User;

/// Most bytes of an answer. Kubernetes stores no object of half the size.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;

/// Room for an answer of which it is not said how long it is: more than a Secret with credentials for a few registries has.
const UNSAID: usize = 16 * 1024;

/// Where ImageStreams are served, on clusters that know them.
const IMAGE_STREAMS: &str = "/apis/image.openshift.io/v1";

/// The API server.
pub struct Cluster {
    client: Client,
    /// One for each request at once. HTTP/1.1 takes a connection for each, and one that is idle keeps some 60 KiB here.
    turns: Semaphore,
    reach: Arc<ApiReach>,
}

/// What a GET came to.
enum Got {
    Object(Zeroizing<Vec<u8>>),
    /// The API server knows such objects, and has none of that name.
    NoObject,
    /// Nothing is served at that path.
    NoPath,
}

impl Cluster {
    /// Asks through `client`, at most `at_once` requests at a time while others wait, and tells `reach` whether anybody
    /// answered.
    pub fn new(client: Client, at_once: usize, reach: Arc<ApiReach>) -> Self {
        let turns = Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS));
        Self { client, turns, reach }
    }

    async fn find_out(&self, need: &Lookup, user: &User, freshness: Freshness) -> Result<LookupResult, Unread> {
        match need {
            Lookup::Secret { namespace, name } => {
                let path = format!("/api/v1/namespaces/{}/secrets/{}", segment(namespace)?, segment(name)?);
                match self.get_present(&path, name, freshness).await? {
                    Got::Object(json) => Ok(LookupResult::Secret(read_secret(&json)?)),
                    Got::NoObject => Ok(LookupResult::No),
                    Got::NoPath => Err(Unread::Status(404)),
                }
            }
            Lookup::Namespace { name } => {
                let path = format!("/api/v1/namespaces/{}", segment(name)?);
                match self.get_present(&path, name, freshness).await? {
                    Got::Object(_) => Ok(LookupResult::Yes),
                    Got::NoObject => Ok(LookupResult::No),
                    Got::NoPath => Err(Unread::Status(404)),
                }
            }
            // That none is there is the answer that is wished for here, and it has to be of now.
            Lookup::ImageStream { namespace, name } => {
                let (namespace, segment) = (segment(namespace)?, segment(name)?);
                let path = format!("{IMAGE_STREAMS}/namespaces/{namespace}/imagestreams/{segment}");
                match self.get(&path, name).await? {
                    Got::Object(json) => Ok(LookupResult::ImageStream(read_owner(&json)?)),
                    Got::NoObject => Ok(LookupResult::No),
                    Got::NoPath => self.is_image_stream_api_absent().await,
                }
            }
            Lookup::Access { namespace } => self.may_create(namespace, user).await,
            // Known without asking anybody.
            Lookup::Configuration | Lookup::Requester => Ok(LookupResult::Yes),
        }
    }

    /// A cluster without OpenShift's API has no ImageStream that could be in the way. An API that is known but does not
    /// answer just now is another matter, so the group itself is asked for.
    async fn is_image_stream_api_absent(&self) -> Result<LookupResult, Unread> {
        let (status, _) = self.ask(Method::GET, IMAGE_STREAMS, Vec::new()).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(LookupResult::No),
            _ => Err(Unread::Status(404)),
        }
    }

    async fn may_create(&self, namespace: &str, user: &User) -> Result<LookupResult, Unread> {
        #[derive(Deserialize)]
        struct Reviewed {
            status: Verdict,
        }
        #[derive(Deserialize)]
        struct Verdict {
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
        let body = serde_json::to_vec(&review).map_err(|_| Unread::Unintelligible)?;
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let (status, json) = self.ask(Method::POST, path, body).await?;
        refuse_failure(status)?;
        let Reviewed { status } = serde_json::from_slice(&json).map_err(|_| Unread::Unintelligible)?;
        Ok(if status.allowed {
            LookupResult::Yes
        } else {
            LookupResult::No
        })
    }

    /// GETs what is good to be there: where anything will do, from what the API server has at hand, and anew if it is not
    /// among that.
    async fn get_present(&self, path: &str, name: &str, freshness: Freshness) -> Result<Got, Unread> {
        if freshness == Freshness::Any
            && let object @ Got::Object(_) = self.get(&format!("{path}?resourceVersion=0"), name).await?
        {
            return Ok(object);
        }
        self.get(path, name).await
    }

    async fn get(&self, path: &str, name: &str) -> Result<Got, Unread> {
        let (status, json) = self.ask(Method::GET, path, Vec::new()).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(if is_about(&json, name) {
                Got::NoObject
            } else {
                Got::NoPath
            });
        }
        refuse_failure(status)?;
        // Whoever answers in the API server's place may well do so with 200 and a page for people.
        if is_named(&json, name) {
            Ok(Got::Object(json))
        } else {
            Err(Unread::Unintelligible)
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(StatusCode, Zeroizing<Vec<u8>>), Unread> {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .map_err(|_| Unread::IllegalName)?;
        let _turn = self.turns.acquire().await.map_err(|_| Unread::Unreachable)?;
        let response = self.client.send(request).await.map_err(|error| self.lost(&error))?;
        self.reach.succeeded();
        let status = response.status();
        let mut frames = response.into_body();
        let mut json = Zeroizing::new(Vec::with_capacity(expected_size(&frames)));
        while let Some(frame) = frames.frame().await {
            let Ok(data) = frame.map_err(|error| self.lost(&error))?.into_data() else {
                continue;
            };
            if json.len() + data.len() > ANSWER_LIMIT {
                return Err(Unread::Unintelligible);
            }
            json.extend_from_slice(&data);
        }
        Ok((status, json))
    }

    fn lost(&self, error: &kube::Error) -> Unread {
        self.reach.failed();
        tracing::warn!(%error, "the API server could not be asked");
        Unread::Unreachable
    }
}

impl FactSource for Cluster {
    fn read<'a>(
        &'a self,
        need: &'a Lookup,
        user: &'a User,
        freshness: Freshness,
    ) -> BoxFuture<'a, Result<LookupResult, Unread>> {
        self.find_out(need, user, freshness).boxed()
    }
}

/// Room for the whole answer, so that no half of it is left behind in memory when the buffer grows; and not for more, because
/// all of it is zeroed in the end.
fn expected_size(body: &Body) -> usize {
    let size = body.size_hint().exact().map(usize::try_from);
    size.map_or(UNSAID, |size| size.unwrap_or(ANSWER_LIMIT).min(ANSWER_LIMIT))
}

fn refuse_failure(status: StatusCode) -> Result<(), Unread> {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Unread::Refused),
        status if status.is_success() => Ok(()),
        status => Err(Unread::Status(status.as_u16())),
    }
}

/// A name that can stand in a URL as it is. The rules ask only about such names; this holds whatever they do.
fn segment(name: &str) -> Result<&str, Unread> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    let is_legal = name.len() <= 253 && name.bytes().all(is_plain) && name.bytes().any(|byte| byte != b'.');
    if is_legal { Ok(name) } else { Err(Unread::IllegalName) }
}

/// Whether a 404 speaks of the object of that name, and not of the path that leads to it.
fn is_about(json: &[u8], name: &str) -> bool {
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

/// Whether this is an object of that name.
fn is_named(json: &[u8], name: &str) -> bool {
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

fn read_secret(json: &[u8]) -> Result<PullSecret, Unread> {
    #[derive(Deserialize)]
    struct Secret<'a> {
        #[serde(borrow, default, rename = "type")]
        secret_type: Cow<'a, str>,
        #[serde(borrow)]
        data: Option<Data<'a>>,
    }
    /// The two keys that can hold registry credentials; the others are passed over.
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow, rename = ".dockerconfigjson")]
        docker_config_json: Option<&'a str>,
        #[serde(borrow, rename = ".dockercfg")]
        docker_cfg: Option<&'a str>,
    }
    let Secret { secret_type, data } = serde_json::from_slice(json).map_err(|_| Unread::Unintelligible)?;
    let encoded = match &*secret_type {
        PullSecret::DOCKER_CONFIG_JSON => data.and_then(|data| data.docker_config_json),
        PullSecret::DOCKER_CFG => data.and_then(|data| data.docker_cfg),
        _ => None,
    };
    let content = encoded
        .map(|text| STANDARD.decode(text).map(Zeroizing::new))
        .transpose();
    let content = content.map_err(|_| Unread::Unintelligible)?;
    Ok(PullSecret::read(
        &secret_type,
        content.as_ref().map(|content| content.as_slice()),
    ))
}

fn read_owner(json: &[u8]) -> Result<StreamOwner, Unread> {
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
    let Stream { metadata } = serde_json::from_slice(json).map_err(|_| Unread::Unintelligible)?;
    let mark = metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(annotations::OWNED_BY));
    Ok(StreamOwner::read(mark.map(|mark| &**mark)))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tower::service_fn;

    use super::*;

    #[tokio::test]
    async fn no_more_is_asked_at_once_than_may_be_and_nobody_is_forgotten() {
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
        let cluster = Cluster::new(Client::new(service, "default"), 3, reach);
        let (need, user) = (Lookup::Namespace { name: "x".to_owned() }, User::default());
        let reads = (0..20).map(|_| cluster.read(&need, &user, Freshness::Any));
        assert_eq!(join_all(reads).await, vec![Ok(LookupResult::Yes); 20]);
        assert_eq!((now.load(Ordering::Relaxed), most.load(Ordering::Relaxed)), (0, 3));
    }

    #[test]
    fn only_plain_names_get_into_a_url() {
        for name in ["a", "a-b.c", "0"] {
            assert_eq!(segment(name), Ok(name));
        }
        for name in ["", ".", "..", "../x", "a/b", "a%2fb", "A", "a?b", "a#b", "ä", "a\n"] {
            assert_eq!(segment(name), Err(Unread::IllegalName), "{name}");
        }
    }

    #[test]
    fn a_missing_object_is_told_from_a_missing_api() {
        let object =
            br#"{"kind":"Status","reason":"NotFound","details":{"name":"x","kind":"imagestreams"},"code":404}"#;
        assert!(is_about(object, "x"));
        assert!(!is_about(object, "y"));
        let resource = br#"{"kind":"Status","message":"the server could not find the requested resource","reason":"NotFound","details":{},"code":404}"#;
        assert!(!is_about(resource, "x"));
        assert!(!is_about(b"404 page not found\n", "x"));
    }

    #[test]
    fn an_answer_is_taken_for_the_object_that_was_asked_for_alone() {
        assert!(is_named(
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
            assert!(!is_named(other.as_bytes(), "x"), "{other}");
        }
    }

    #[test]
    fn secrets_are_read_for_their_registries_alone() {
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
            Err(Unread::Unintelligible)
        );
        assert_eq!(read("[1".to_owned()), Err(Unread::Unintelligible));
    }

    #[test]
    fn streams_are_read_for_their_owner_alone() {
        let stream = br#"{"metadata":{"name":"x","annotations":{"a":"b","meteor.zone/owned-by":"ns/x"}}}"#;
        let owner = StreamOwner::Resource {
            namespace: "ns".to_owned(),
            name: "x".to_owned(),
        };
        assert_eq!(read_owner(stream), Ok(owner));
        assert_eq!(read_owner(br#"{"metadata":{}}"#), Ok(StreamOwner::Other));
    }
}
