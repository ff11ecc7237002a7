//! Real TLS handshakes, in memory.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::client::TlsStream as Client;
use tokio_rustls::server::TlsStream as Server;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::authority::Authority;
use crate::leaf::Leaf;
use crate::policy::Policy;

type Connection = (Client<DuplexStream>, Server<DuplexStream>);

/// A CA issued `ago` seconds ago.
fn authority(ago: i64) -> Authority {
    let made = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(ago);
    Authority::issue(made, &Policy::default()).unwrap()
}

fn leaf(authority: &Authority) -> Leaf {
    let names = [ServerName::try_from("hook.system.svc").unwrap()];
    Leaf::issue(authority, &names, jiff::Timestamp::now(), &Policy::default()).unwrap()
}

async fn connect(
    resolver: &Arc<Resolver>,
    trusted: &[&Authority],
    version: &'static SupportedProtocolVersion,
) -> std::io::Result<Connection> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(resolver) as Arc<dyn ResolvesServerCert>);
    let mut roots = RootCertStore::empty();
    for authority in trusted {
        roots.add(authority.certificate().der().clone()).unwrap();
    }
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (near, far) = tokio::io::duplex(16_384);
    let name = ServerName::try_from("hook.system.svc").unwrap();
    let (client, server) = tokio::join!(
        TlsConnector::from(Arc::new(client)).connect(name, near),
        TlsAcceptor::from(Arc::new(server)).accept(far),
    );
    Ok((client?, server?))
}

async fn echo((client, server): &mut Connection) {
    client.write_all(b"review").await.unwrap();
    client.flush().await.unwrap();
    let mut heard = [0; 6];
    server.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"review");
}

fn presented((client, _): &Connection) -> CertificateDer<'static> {
    client.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn a_new_certificate_affects_only_new_connections() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (a, b) = (authority(60), authority(0));
        let (first, second) = (leaf(&a), leaf(&b));
        let resolver = Arc::new(Resolver::default());
        resolver.swap(first.certified());
        let mut open = connect(&resolver, &[&a, &b], version).await.unwrap();
        echo(&mut open).await;
        resolver.swap(second.certified());
        echo(&mut open).await;
        assert_eq!(presented(&open), *first.certificate());
        let mut new = connect(&resolver, &[&a, &b], version).await.unwrap();
        echo(&mut new).await;
        assert_eq!(presented(&new), *second.certificate());
        let rejected = connect(&resolver, &[&a], version).await.unwrap_err();
        assert!(rejected.to_string().contains("UnknownIssuer"), "{rejected}");
        echo(&mut open).await;
    }
}

#[tokio::test]
async fn without_a_certificate_handshakes_fail() {
    let resolver = Arc::new(Resolver::default());
    let rejected = connect(&resolver, &[&authority(0)], &rustls::version::TLS13)
        .await
        .unwrap_err();
    assert!(rejected.to_string().contains("AccessDenied"), "{rejected}");
}
