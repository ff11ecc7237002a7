//! TLS 1.3 and 1.2 for the port that the API server calls, with optional client certificates.
//!
//! Serving certificates come from a resolver, and client CAs can be replaced. Open connections are not affected.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::{ResolvesServerCert, ServerConfig, WebPkiClientVerifier};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// The clients that are accepted.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    /// A PEM file with the CAs of client certificates. `None`: client certificates are not required.
    pub ca: Option<PathBuf>,
    /// Common names or DNS names of which a client certificate must have one. Empty: any.
    pub names: Vec<String>,
}

/// Accepts TLS connections. Clones share their state.
#[derive(Clone)]
pub struct Tls {
    resolver: Arc<dyn ResolvesServerCert>,
    clients: Arc<Clients>,
    config: Arc<ArcSwap<ServerConfig>>,
}

/// The client CAs are invalid.
#[derive(Debug, thiserror::Error)]
pub enum ClientCaError {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Read(PathBuf, io::Error),
    /// It is not PEM, has no certificate, or an invalid one.
    #[error("{0}: {1}")]
    Content(PathBuf, String),
    /// Names without a CA would not be verified.
    #[error("client names require a client CA")]
    NamesWithoutCa,
}

impl Tls {
    /// Serves the certificate that `resolver` has at the time of each handshake.
    pub fn new(resolver: Arc<dyn ResolvesServerCert>, clients: &Clients) -> Result<Self, ClientCaError> {
        let roots = match &clients.ca {
            None if clients.names.is_empty() => None,
            None => return Err(ClientCaError::NamesWithoutCa),
            Some(path) => Some(read(path)?),
        };
        let config = config(Arc::clone(&resolver), clients, roots.as_deref())?;
        Ok(Self {
            resolver,
            clients: Arc::new(clients.clone()),
            config: Arc::new(ArcSwap::new(config)),
        })
    }

    /// The file with the CAs of client certificates.
    pub fn client_ca(&self) -> Option<&Path> {
        self.clients.ca.as_deref()
    }

    /// Verifies clients of new connections by these CAs (PEM). If they are invalid, the current ones stay active.
    ///
    /// Sessions from before cannot be resumed, so a removed CA is effective for all new connections.
    pub fn set_client_ca(&self, pem: &[u8]) -> Result<(), ClientCaError> {
        self.config
            .store(config(Arc::clone(&self.resolver), &self.clients, Some(pem))?);
        Ok(())
    }

    /// Does the TLS handshake. Fails for clients that are not accepted.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let stream = TlsAcceptor::from(self.config.load_full()).accept(stream).await?;
        let names = &self.clients.names;
        if !names.is_empty() {
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
            if !certificates
                .first()
                .is_some_and(|certificate| has_any_name(certificate, names))
            {
                tracing::warn!("a client certificate has none of the accepted names");
                return Err(io::ErrorKind::PermissionDenied.into());
            }
        }
        Ok(stream)
    }
}

fn config(
    resolver: Arc<dyn ResolvesServerCert>,
    clients: &Clients,
    ca: Option<&[u8]>,
) -> Result<Arc<ServerConfig>, ClientCaError> {
    let content = |error: &dyn std::fmt::Display| {
        let path = clients.ca.clone().unwrap_or_default();
        ClientCaError::Content(path, error.to_string())
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| content(&error))?;
    let builder = match ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| content(&error))?;
                roots.add(certificate).map_err(|error| content(&error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(|error| content(&error))?)
        }
    };
    let mut config = builder.with_cert_resolver(resolver);
    // The API server uses HTTP/1.1 for webhooks behind a Service. On loopback it would use HTTP/2, so tests would differ from
    // production.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Reads a file of certificates.
pub fn read(path: &Path) -> Result<Vec<u8>, ClientCaError> {
    std::fs::read(path).map_err(|error| ClientCaError::Read(path.to_owned(), error))
}

fn has_any_name(certificate: &CertificateDer<'_>, names: &[String]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let is_wanted = |name: &str| names.iter().any(|wanted| wanted == name);
    let mut common_names = certificate.subject().iter_common_name();
    if common_names.any(|name| name.as_str().is_ok_and(is_wanted)) {
        return true;
    }
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    alternatives.is_some_and(|extension| {
        let mut names = extension.value.general_names.iter();
        names.any(|name| matches!(name, GeneralName::DNSName(name) if is_wanted(name)))
    })
}
