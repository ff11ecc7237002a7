//! Servers without rules, as a lower bound for the latency of a webhook: one parses nothing, the other parses the review into
//! kube's types and allows it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http::{StatusCode, header};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What to serve.
#[derive(Debug, clap::Args)]
pub struct Floor {
    /// Where
    #[arg(long)]
    listen: SocketAddr,
    /// Folder of tls.crt and tls.key
    #[arg(long)]
    certificates: PathBuf,
    /// Parse the review, instead of answering without a look at it
    #[arg(long)]
    parse: bool,
}

impl Floor {
    /// Serves until the process ends.
    pub async fn serve(self) -> Result<()> {
        let chain = CertificateDer::pem_file_iter(self.certificates.join("tls.crt"))?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(self.certificates.join("tls.key"))?;
        let tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let tls = TlsAcceptor::from(Arc::new(tls));
        let answer = if self.parse { post(parse) } else { post(noop) };
        let router = Router::new().route("/validate", answer);
        let listener = TcpListener::bind(self.listen).await.context("listening")?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (tls, router) = (tls.clone(), router.clone());
            tokio::spawn(async move {
                // Clients may disconnect at any time; they report the error themselves.
                if let Ok(stream) = tls.accept(stream).await {
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
                        .await;
                }
            });
        }
    }
}

fn json(body: impl Into<axum::body::Body>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.into()).into_response()
}

async fn noop(_body: Bytes) -> Response {
    const ALLOWED: &str =
        r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"","allowed":true}}"#;
    json(ALLOWED)
}

async fn parse(body: Bytes) -> Response {
    let Ok(review) = serde_json::from_slice::<AdmissionReview<DynamicObject>>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Ok(request): Result<AdmissionRequest<DynamicObject>, _> = review.try_into() else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match serde_json::to_vec(&AdmissionResponse::from(&request).into_review()) {
        Ok(answer) => json(answer),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
