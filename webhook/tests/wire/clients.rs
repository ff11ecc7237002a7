//! Client certificates, and reloading of the client CAs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cnbi_webhook::client_ca;
use cnbi_webhook::tls::Clients;
use prometheus_client::metrics::gauge::Gauge;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::fake::FakeCluster;
use crate::harness::{Setup, Webhook, review_request};
use crate::reviews::{create, resource};

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca(name: &str) -> Ca {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn identity(name: &str, ca: &Ca) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, ca).unwrap();
    (
        certificate.der().clone(),
        PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    )
}

fn setup(path: &Path, names: &[&str], identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>) -> Setup {
    let mut setup = Setup::new(Arc::new(FakeCluster::empty()));
    setup.clients = Clients {
        ca: Some(path.to_owned()),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    setup.client_identity = identity;
    setup
}

/// Whether a review on a new connection gets a response.
async fn is_answered(webhook: &Webhook) -> bool {
    let Ok(mut client) = webhook.try_client().await else {
        return false;
    };
    client
        .send(review_request("/mutate", create(&resource())))
        .await
        .is_ok()
}

async fn wait_until_answered(webhook: &Webhook, wanted: bool) {
    let waits = async {
        while is_answered(webhook).await != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let outcome = tokio::time::timeout(Duration::from_secs(30), waits).await;
    outcome.unwrap_or_else(|_| panic!("never: answered = {wanted}"));
}

async fn until(gauge: &Gauge, value: i64) {
    let waits = async {
        while gauge.get() != value {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let outcome = tokio::time::timeout(Duration::from_secs(30), waits).await;
    outcome.unwrap_or_else(|_| panic!("never {value}"));
}

#[tokio::test]
async fn with_a_client_ca_only_clients_with_an_accepted_name_are_answered() {
    let ca = ca("clients");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.crt");
    std::fs::write(&path, ca.pem()).unwrap();
    for (name, may) in [
        (Some("kube-apiserver"), true),
        (Some("other-client"), false),
        (None, false),
    ] {
        let identity = name.map(|name| identity(name, &ca));
        let webhook = setup(&path, &["kube-apiserver"], identity).start().await;
        assert_eq!(is_answered(&webhook).await, may);
    }
}

#[tokio::test]
async fn the_client_ca_is_reloaded_and_an_invalid_one_changes_nothing() {
    let (old, new) = (ca("old"), ca("new"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.crt");
    std::fs::write(&path, old.pem()).unwrap();
    let webhook = setup(&path, &[], Some(identity("kube-apiserver", &new))).start().await;
    let refused = Gauge::default();
    let following = tokio::spawn(client_ca::watch(webhook.tls.clone(), refused.clone()));
    assert!(!is_answered(&webhook).await);

    for broken in [
        "nonsense",
        "",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    ] {
        std::fs::write(&path, broken).unwrap();
        until(&refused, 1).await;
        assert!(!is_answered(&webhook).await, "{broken}");
        std::fs::write(&path, old.pem()).unwrap();
        until(&refused, 0).await;
    }
    // A CA is replaced: first both CAs, then the new one alone.
    std::fs::write(&path, old.pem() + &new.pem()).unwrap();
    wait_until_answered(&webhook, true).await;
    let mut open = webhook.try_client().await.unwrap();
    std::fs::write(&path, new.pem()).unwrap();
    assert!(is_answered(&webhook).await);

    std::fs::remove_file(&path).unwrap();
    until(&refused, 1).await;
    assert!(is_answered(&webhook).await, "the last valid CAs do not stay active");

    std::fs::write(&path, old.pem()).unwrap();
    wait_until_answered(&webhook, false).await;
    let answered = open.send(review_request("/mutate", create(&resource()))).await;
    assert!(answered.is_ok(), "an open connection was closed");
    following.abort();
}
