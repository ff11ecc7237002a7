//! Connector with the proxies and additional CA certificates of the configuration, as in the tasks of a run.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use cnbi_shared::config::Network;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tower::ServiceExt as _;

/// Opens connections, directly or through a proxy.
#[derive(Clone)]
pub struct ProxyConnector {
    direct: HttpConnector,
    proxies: Arc<Matcher>,
}

/// A connector that trusts `authorities` in addition to the system's CA certificates (or `SSL_CERT_FILE`).
pub fn connector(
    network: &Network,
    authorities: Vec<CertificateDer<'static>>,
) -> Result<HttpsConnector<ProxyConnector>, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier::new_with_extra_roots(authorities, provider.clone())?;
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let mut direct = HttpConnector::new();
    direct.enforce_http(false);
    let proxies = Matcher::builder()
        .http(network.http_proxy.as_str())
        .https(network.https_proxy.as_str())
        .no(network.no_proxy.join(","))
        .build();
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(ProxyConnector {
            direct,
            proxies: Arc::new(proxies),
        }))
}

impl tower::Service<Uri> for ProxyConnector {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let direct = self.direct.clone();
        let Some(proxy) = self.proxies.intercept(&to) else {
            return Box::pin(async { Ok(direct.oneshot(to).await?) });
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), direct);
        if let Some(credential) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credential.clone());
        }
        Box::pin(async { Ok(tunnel.oneshot(to).await?) })
    }
}
