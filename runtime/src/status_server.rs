//! `/livez`, `/readyz` and `/metrics` over plain HTTP on a separate port.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// What the status server reports.
pub trait Status: Send + Sync + 'static {
    /// Why the program is not ready; empty if it is. A shutdown is not a reason.
    fn not_ready(&self) -> Vec<String>;

    /// Whether the program shuts down.
    fn is_shutting_down(&self) -> bool;

    /// The metrics in the OpenMetrics text format.
    fn metrics(&self) -> String;
}

/// Limits of the status server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most open connections. A further connection closes the oldest one.
    pub connections: usize,
    /// Longest life of a connection, which serves one request.
    pub lifetime: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 128,
            lifetime: Duration::from_secs(10),
        }
    }
}

/// Opens the listener. Without IPv6 on the machine, `[::]` means all IPv4 addresses.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error)
            if address.is_ipv6() && address.ip().is_unspecified() && error.kind() != io::ErrorKind::AddrInUse =>
        {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    }
}

/// The routes.
///
/// `/readyz` fails from the start of a shutdown. The probe of a pod requests `/readyz?exclude=shutdown`, as for the API
/// server's own `/readyz`: Kubernetes removes a terminating pod from its Service by itself, and sends requests to it if no
/// other pod is left, but only while its probe succeeds.
pub fn router(status: Arc<impl Status>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(status)
}

async fn readyz<S: Status>(State(status): State<Arc<S>>, RawQuery(query): RawQuery) -> Response {
    let mut parameters = query.iter().flat_map(|query| query.split('&'));
    let excludes_shutdown = parameters.any(|parameter| parameter == "exclude=shutdown");
    let reasons = if status.is_shutting_down() && !excludes_shutdown {
        vec!["shutting down".to_owned()]
    } else {
        status.not_ready()
    };
    if reasons.is_empty() {
        return "ok\n".into_response();
    }
    let text = format!("not ready\n{}\n", reasons.join("\n"));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn metrics<S: Status>(State(status): State<Arc<S>>) -> impl IntoResponse {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], status.metrics())
}

/// Serves until it is dropped. Each connection serves one request, so that clients cannot exhaust the server by keeping
/// connections open.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits) {
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                open.retain(|connection| !connection.is_finished());
                if open.len() >= limits.connections
                    && let Some(oldest) = open.pop_front()
                {
                    oldest.abort();
                }
                let connection = timeout(limits.lifetime, connection(stream, router.clone()));
                open.push_back(tokio::spawn(connection).abort_handle());
            }
            Err(error) => {
                // For example too many open files; the next attempt would fail as well.
                tracing::warn!(%error, "cannot accept a connection to the status server");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let service = TowerToHyperService::new(router);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection to the status server failed");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use axum::body::Body;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tower::ServiceExt as _;

    use super::*;

    #[derive(Default)]
    struct Fake {
        not_ready: Vec<String>,
        is_shutting_down: bool,
    }

    impl Status for Fake {
        fn not_ready(&self) -> Vec<String> {
            self.not_ready.clone()
        }

        fn is_shutting_down(&self) -> bool {
            self.is_shutting_down
        }

        fn metrics(&self) -> String {
            "# EOF\n".to_owned()
        }
    }

    async fn status(fake: Fake, path: &str) -> StatusCode {
        let request = http::Request::get(path).body(Body::empty()).unwrap();
        router(Arc::new(fake)).oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn a_probe_can_exclude_the_shutdown() {
        let shutting_down = || Fake {
            is_shutting_down: true,
            ..Fake::default()
        };
        assert_eq!(status(Fake::default(), "/readyz").await, StatusCode::OK);
        assert_eq!(
            status(shutting_down(), "/readyz").await,
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(
            status(shutting_down(), "/readyz?verbose&exclude=shutdown").await,
            StatusCode::OK
        );
        let wrong = status(shutting_down(), "/readyz?exclude=shutdowns").await;
        assert_eq!(wrong, StatusCode::SERVICE_UNAVAILABLE);
        let not_ready = Fake {
            not_ready: vec!["no leader".to_owned()],
            is_shutting_down: true,
        };
        let excluded = status(not_ready, "/readyz?exclude=shutdown").await;
        assert_eq!(excluded, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn silent_connections_do_not_block_probes() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, router(Arc::new(Fake::default())), Limits::default()));
        let mut silent = Vec::new();
        for _ in 0..400 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let begin = Instant::now();
        let mut probe = TcpStream::connect(address).await.unwrap();
        probe
            .write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut response = String::new();
        probe.read_to_string(&mut response).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
        server.abort();
    }
}
