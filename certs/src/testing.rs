//! A fixed beginning of time, and the names and certificates that the tests of this crate share.

use base64::Engine;
use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;

use crate::authority::{Authority, Unusable};
use crate::leaf::Leaf;
use crate::names::Names;
use crate::policy::Policy;

/// 2026-01-01T00:00:00Z.
pub(crate) fn start() -> Timestamp {
    Timestamp::from_second(1_767_225_600).expect("in range")
}

/// So many seconds after the start.
pub(crate) fn after(seconds: i64) -> Timestamp {
    start() + SignedDuration::from_secs(seconds)
}

/// An installation.
pub(crate) fn names() -> Names {
    Names {
        namespace: "system".to_owned(),
        service: "hook".to_owned(),
        secret: "hook-ca".to_owned(),
        mutating: vec!["hook".to_owned()],
        validating: vec!["hook".to_owned()],
        cluster_domain: "cluster.local".to_owned(),
        extra_sans: Vec::new(),
        instance: "hook-0".to_owned(),
    }
}

/// A CA made so many seconds after the start.
pub(crate) fn authority(seconds: i64) -> Authority {
    Authority::mint(after(seconds), &Policy::default()).expect("minted")
}

/// A serving certificate made so many seconds after the start.
pub(crate) fn leaf(authority: &Authority, seconds: i64) -> Leaf {
    let names = names().subject_alternative_names().expect("valid");
    Leaf::issue(authority, &names, after(seconds), &Policy::default()).expect("issued")
}

/// A CA as a person might bring it, valid for a hundred years.
pub(crate) fn ca_with(change: impl FnOnce(&mut CertificateParams)) -> Result<Authority, Unusable> {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(2125, 1, 1);
    change(&mut params);
    let certificate = params.self_signed(&key).expect("signed");
    Authority::parse(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())
}

/// The key of a minted CA as `EC PRIVATE KEY` (RFC 5915), which is inside its PKCS #8.
pub(crate) fn sec1(authority: &Authority) -> String {
    let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(authority.key_pem().as_bytes()).expect("PKCS #8");
    let bytes = pkcs8.secret_pkcs8_der();
    let algorithm = bytes.windows(3).position(|window| window == [3, 1, 7]).expect("P-256") + 3;
    let text = base64::engine::general_purpose::STANDARD.encode(&bytes[algorithm + 2..]);
    format!("-----BEGIN EC PRIVATE KEY-----\n{text}\n-----END EC PRIVATE KEY-----\n")
}
