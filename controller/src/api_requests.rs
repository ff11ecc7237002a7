//! Counts requests to the API server by verb, resource and status code, without names of objects.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, Request, Response, Uri};
use tower::{Layer, Service};

use crate::metrics::Metrics;

/// Adds the counter to a client.
#[derive(Clone, Debug)]
pub struct CountLayer(Arc<Metrics>);

impl CountLayer {
    /// Counts in `metrics`.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self(metrics)
    }
}

impl<S> Layer<S> for CountLayer {
    type Service = CountingClient<S>;

    fn layer(&self, inner: S) -> CountingClient<S> {
        CountingClient {
            inner,
            metrics: Arc::clone(&self.0),
        }
    }
}

/// A client whose requests are counted.
#[derive(Clone, Debug)]
pub struct CountingClient<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S, B, R> Service<Request<B>> for CountingClient<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (verb, resource) = verb_and_resource(request.method(), request.uri());
        let metrics = Arc::clone(&self.metrics);
        let response = self.inner.call(request);
        async move {
            let response = response.await;
            // 0: no response.
            let code = response.as_ref().map_or(0, |response| response.status().as_u16());
            metrics.api_request(verb, resource, code);
            response
        }
        .boxed()
    }
}

/// Verb and resource of a request, as in RBAC rules.
fn verb_and_resource(method: &Method, uri: &Uri) -> (&'static str, String) {
    let segments: Vec<&str> = uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
    let rest = match segments.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => &[],
    };
    // Without further segments, the namespace itself is the resource.
    let rest = match rest {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        rest => rest,
    };
    let (resource, name, sub) = match rest {
        [resource, rest @ ..] => (*resource, rest.first(), rest.get(1)),
        [] => ("other", None, None),
    };
    let is_watch = || {
        uri.query()
            .is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"))
    };
    let verb = match (method, name) {
        (&Method::GET, _) if is_watch() => "watch",
        (&Method::GET, Some(_)) => "get",
        (&Method::GET, None) => "list",
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::PATCH, _) => "patch",
        (&Method::DELETE, Some(_)) => "delete",
        (&Method::DELETE, None) => "deletecollection",
        _ => "other",
    };
    let resource = sub.map_or_else(|| resource.to_owned(), |sub| format!("{resource}/{sub}"));
    (verb, resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verb_and_resource_do_not_contain_names() {
        for (method, path, verb, resource) in [
            (
                Method::GET,
                "/apis/meteor.zone/v1alpha1/customnbimages?limit=5",
                "list",
                "customnbimages",
            ),
            (
                Method::GET,
                "/apis/meteor.zone/v1alpha1/customnbimages?watch=true&x=1",
                "watch",
                "customnbimages",
            ),
            (
                Method::PATCH,
                "/apis/meteor.zone/v1alpha1/namespaces/a/customnbimages/b/status?force=true",
                "patch",
                "customnbimages/status",
            ),
            (Method::GET, "/api/v1/namespaces/a/secrets/b", "get", "secrets"),
            (Method::GET, "/api/v1/namespaces/a", "get", "namespaces"),
            (Method::GET, "/api/v1/namespaces", "list", "namespaces"),
            (
                Method::POST,
                "/apis/tekton.dev/v1/namespaces/a/pipelineruns",
                "create",
                "pipelineruns",
            ),
            (
                Method::DELETE,
                "/apis/tekton.dev/v1/namespaces/a/pipelineruns/b",
                "delete",
                "pipelineruns",
            ),
            (
                Method::PUT,
                "/apis/coordination.k8s.io/v1/namespaces/a/leases/b",
                "update",
                "leases",
            ),
            (Method::GET, "/version", "list", "other"),
        ] {
            let uri: Uri = format!("https://localhost:6443{path}").parse().unwrap();
            assert_eq!(verb_and_resource(&method, &uri), (verb, resource.to_owned()), "{path}");
        }
    }
}
