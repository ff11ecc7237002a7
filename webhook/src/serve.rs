//! Sockets and connections: accepts them, bounds them, and lets go of them without losing a request.
//!
//! HTTP/1.1 only. Knows nothing of what is asked; see [`crate::http`] for that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::patience::{Patient, Stage};
use crate::tls::Tls;

/// Bounds of one listener.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections that are open at once; more wait in the kernel.
    pub connections: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long the head of a request may take.
    pub head: Duration,
    /// How long a connection may be silent between two requests.
    pub idle: Duration,
    /// How long requests in flight may take to finish at the end.
    pub finish: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(180),
            finish: Duration::from_secs(10),
        }
    }
}

/// Most bytes of a request's head, and of one read of a body.
const BUFFER: usize = 64 * 1024;

/// How far the end has come. `Ord`: later is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It is not in sight.
    #[default]
    Serving,
    /// Endpoints are being taken out; every request is served, and its connection closed.
    Draining,
    /// No new connections; what is in flight is finished.
    Stopping,
}

/// One listener and what is served on it.
pub struct Server {
    /// Where connections come in.
    pub listener: TcpListener,
    /// TLS, or plain HTTP without.
    pub tls: Option<Tls>,
    /// Answers requests.
    pub router: Router,
    /// Bounds.
    pub limits: Limits,
    /// Counts open connections.
    pub connections: Gauge,
}

impl Server {
    /// Serves until `phase` says stopping, and then until what is in flight is finished or has had its time.
    pub async fn run(self, mut phase: watch::Receiver<Phase>) {
        let graceful = GracefulShutdown::new();
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let shared = Arc::new(Shared {
            tls: self.tls,
            router: self.router,
            limits: self.limits.clone(),
            connections: self.connections,
            phase: phase.clone(),
        });
        loop {
            let accepted = tokio::select! {
                accepted = accept(&self.listener, &slots) => accepted,
                _ = phase.wait_for(|phase| *phase == Phase::Stopping) => break,
            };
            match accepted {
                Ok((stream, peer, slot)) => {
                    tokio::spawn(Arc::clone(&shared).connection(stream, peer, graceful.watcher(), slot));
                }
                Err(error) => {
                    // Mostly too many open files; the next attempt would fail as well.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(self.listener);
        if timeout(self.limits.finish, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests in flight did not finish in time");
        }
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer, slot))
}

/// What all connections of a listener have in common.
struct Shared {
    tls: Option<Tls>,
    router: Router,
    limits: Limits,
    connections: Gauge,
    phase: watch::Receiver<Phase>,
}

impl Shared {
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        watcher: Watcher,
        slot: OwnedSemaphorePermit,
    ) {
        self.connections.inc();
        let outcome = match &self.tls {
            None => self.serve(stream, watcher).await,
            Some(tls) => match timeout(self.limits.handshake, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.serve(stream, watcher).await,
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err("the handshake took too long".into()),
            },
        };
        if let Err(error) = outcome {
            tracing::debug!(%peer, %error, "a connection failed");
        }
        self.connections.dec();
        drop(slot);
    }

    async fn serve<S>(&self, stream: S, watcher: Watcher) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stage = Stage::connected();
        let stream = Patient::new(stream, stage.clone(), self.limits.head);
        let service = service_fn(|request: Request<Incoming>| {
            stage.busy();
            let stage = stage.clone();
            let phase = self.phase.clone();
            let answered = self.router.clone().oneshot(request.map(Body::new));
            async move {
                let mut answered = answered.await;
                if let Ok(response) = &mut answered
                    && *phase.borrow() >= Phase::Draining
                {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                }
                stage.idle();
                answered
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.idle)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), service);
        Ok(watcher.watch(connection).await?)
    }
}
