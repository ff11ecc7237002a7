//! Listeners and connections: accepts, limits and serves them, and shuts down without losing a request. HTTP/1.1 only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures::future::Abortable;
use http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::connection::{Activity, Connection};
use crate::connections::{ConnectionTable, OpenConnection};
use crate::header_timeout::HeaderTimeout;
use crate::tls::Tls;

/// Time limits of one listener.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For the head of a request.
    pub header: Duration,
    /// For the silence between two requests. Go's clients keep spare connections for 90 s.
    pub idle: Duration,
    /// For requests in flight at shutdown.
    pub shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            header: Duration::from_secs(10),
            idle: Duration::from_secs(180),
            shutdown: Duration::from_secs(10),
        }
    }
}

/// Most bytes of a request's head, and of one read of a body.
const BUFFER: usize = 64 * 1024;

/// The stages of a shutdown, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// No shutdown.
    #[default]
    Serving,
    /// Endpoints are being removed; every request is answered, and its connection closed.
    Draining,
    /// No new connections; requests in flight are finished.
    Stopping,
}

/// A listener and its routes.
pub struct Server {
    /// Accepts connections.
    pub listener: TcpListener,
    /// TLS, or plain HTTP without.
    pub tls: Option<Tls>,
    /// Answers requests.
    pub router: Router,
    /// Time limits.
    pub timeouts: Timeouts,
    /// The open connections, and how many may be open.
    pub connections: Arc<ConnectionTable>,
}

impl Server {
    /// Serves until `phase` is [`Phase::Stopping`], and then until requests in flight are finished or their time is up.
    pub async fn run(self, mut phase: watch::Receiver<Phase>) {
        let graceful = GracefulShutdown::new();
        let handler = Arc::new(ConnectionHandler {
            tls: self.tls,
            router: self.router,
            timeouts: self.timeouts.clone(),
            phase: phase.clone(),
        });
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = phase.wait_for(|phase| *phase == Phase::Stopping) => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let (connection, registration) = self.connections.open(peer.ip());
                    let served = Arc::clone(&handler).handle(stream, peer, connection, graceful.watcher());
                    tokio::spawn(Abortable::new(served, registration));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // Mostly too many open files: the next attempt would fail as well.
                    self.connections.evict_one();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(self.listener);
        if timeout(self.timeouts.shutdown, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests in flight did not finish in time");
        }
    }
}

/// Serves the connections of one listener.
struct ConnectionHandler {
    tls: Option<Tls>,
    router: Router,
    timeouts: Timeouts,
    phase: watch::Receiver<Phase>,
}

impl ConnectionHandler {
    async fn handle(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, open: OpenConnection, watcher: Watcher) {
        if let Err(error) = self.handshake(stream, open.connection(), watcher).await {
            tracing::debug!(%peer, %error, "a connection failed");
        }
    }

    async fn handshake(&self, stream: TcpStream, connection: &Arc<Connection>, watcher: Watcher) -> Result<(), Error> {
        stream.set_nodelay(true)?;
        match &self.tls {
            None => self.serve(stream, connection, watcher).await,
            Some(tls) => match timeout(self.timeouts.handshake, tls.accept(stream)).await {
                Ok(stream) => self.serve(stream?, connection, watcher).await,
                Err(_) => Err("the TLS handshake took too long".into()),
            },
        }
    }

    async fn serve<S>(&self, stream: S, connection: &Arc<Connection>, watcher: Watcher) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = HeaderTimeout::new(stream, Arc::clone(connection), self.timeouts.header);
        let service = service_fn(|request: Request<Incoming>| {
            connection.set_activity(Activity::Body);
            let connection = Arc::clone(connection);
            let phase = self.phase.clone();
            let response = self.router.clone().oneshot(request.map(Body::new));
            async move {
                let mut response = response.await;
                if let Ok(response) = &mut response
                    && *phase.borrow() >= Phase::Draining
                {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                }
                connection.set_idle();
                response
            }
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.timeouts.idle)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), service);
        Ok(Arc::clone(connection).scope(watcher.watch(serving)).await?)
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;
