//! HTTP/1.1 over TLS, one connection at a time.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::target::Target;

/// TLS that trusts the CAs in a PEM file.
pub fn connector(authority: &Path) -> Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority)? {
        roots.add(certificate?)?;
    }
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Connects. The second value is the connection, which has to be polled.
pub async fn connect(
    tls: &TlsConnector,
    address: SocketAddr,
    name: &str,
) -> Result<(
    SendRequest<Full<Bytes>>,
    Connection<TokioIo<TlsStream<TcpStream>>, Full<Bytes>>,
)> {
    let stream = TcpStream::connect(address).await.context("connecting")?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned())?;
    let stream = tls.connect(name, stream).await.context("the TLS handshake")?;
    Ok(handshake(TokioIo::new(stream)).await?)
}

/// Sends one review and returns the response, whatever its status.
pub async fn post_once(target: &Target, path: &str, body: &Path) -> Result<serde_json::Value> {
    let body = Full::new(Bytes::from(std::fs::read(body)?));
    let (mut sender, connection) = connect(&connector(&target.authority)?, target.address, &target.name).await?;
    let connection = tokio::spawn(connection);
    let request = Request::post(path)
        .header(header::HOST, &target.name)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    drop(sender);
    connection.abort();
    serde_json::from_slice(&body).with_context(|| format!("{status}: {}", String::from_utf8_lossy(&body)))
}
