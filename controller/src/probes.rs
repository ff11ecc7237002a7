//! `/livez`, `/readyz` and `/metrics` over plain HTTP.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use cnbi_shared::active_config::ActiveConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::leader::Role;
use crate::metrics::Metrics;

/// What the answers are made of.
#[derive(Clone, Debug)]
pub struct Probes {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The configuration in force.
    pub in_force: watch::Receiver<ActiveConfig>,
    /// All resources have been listed once.
    pub listed: Arc<AtomicBool>,
    /// What this replica is there for.
    pub role: watch::Receiver<Role>,
}

impl Probes {
    /// Why the controller does not do its work yet. Once there was a good configuration, a bad one is a matter of metrics.
    fn not_ready(&self) -> Option<String> {
        let in_force = self.in_force.borrow();
        if in_force.config().is_none() {
            let reason = in_force.problem().unwrap_or_default();
            return Some(format!("no configuration is in force: {reason}"));
        }
        let is_listed = self.listed.load(Ordering::Relaxed);
        match *self.role.borrow() {
            Role::Unknown => Some("it is not known yet who leads".to_owned()),
            Role::Leads if !is_listed => Some("the resources were not listed yet".to_owned()),
            Role::StandsBy | Role::Leads => None,
        }
    }
}

/// Listens. Where the machine has no IPv6, `[::]` means all IPv4 addresses.
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

/// Answers for as long as it is polled.
pub async fn serve(listener: TcpListener, probes: Probes) -> io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(probes);
    axum::serve(listener, router).await
}

async fn readyz(State(probes): State<Probes>) -> impl IntoResponse {
    match probes.not_ready() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn metrics(State(probes): State<Probes>) -> impl IntoResponse {
    match probes.metrics.text() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
