//! A fixed start time, names and certificates for the tests of this crate.

use base64::Engine;
use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::authority::{Authority, CertificateError, set_validity};
use crate::leaf::Leaf;
use crate::names::Names;
use crate::policy::{Policy, Validity};

/// 2026-01-01T00:00:00Z.
pub(crate) fn start() -> Timestamp {
    Timestamp::from_second(1_767_225_600).expect("in range")
}

/// `seconds` after [`start`].
pub(crate) fn after(seconds: i64) -> Timestamp {
    start() + SignedDuration::from_secs(seconds)
}

/// The names of an installation.
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

/// A CA issued `seconds` after [`start`].
pub(crate) fn authority(seconds: i64) -> Authority {
    Authority::issue(after(seconds), &Policy::default()).expect("minted")
}

/// A serving certificate issued `seconds` after [`start`].
pub(crate) fn leaf(authority: &Authority, seconds: i64) -> Leaf {
    let names = names().subject_alternative_names().expect("valid");
    Leaf::issue(authority, &names, after(seconds), &Policy::default()).expect("issued")
}

/// A CA as an admin might provide it, valid for a hundred years.
pub(crate) fn ca_with(change: impl FnOnce(&mut CertificateParams)) -> Result<Authority, CertificateError> {
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

/// A chain as cert-manager writes it: root, intermediate and serving certificate.
pub(crate) struct Chain {
    /// The root, PEM.
    pub(crate) root: String,
    /// The serving certificate and the intermediate, PEM.
    pub(crate) certificates: String,
    /// The key of the serving certificate, PEM.
    pub(crate) key: String,
}

impl Chain {
    /// Expiry of the intermediate, in seconds after [`start`].
    pub(crate) const INTERMEDIATE_ENDS: i64 = 2_000;
    /// Expiry of the root, in seconds after [`start`]; earlier than the intermediate's.
    pub(crate) const ROOT_ENDS: i64 = 1_000;

    /// For the names of the installation; `from` and `until` are seconds after [`start`].
    pub(crate) fn new(from: i64, until: i64) -> Self {
        Self::for_name("hook.system.svc", from, until)
    }

    /// For one name.
    pub(crate) fn for_name(name: &str, from: i64, until: i64) -> Self {
        let params = |name: &str, from: i64, until: i64| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            set_validity(
                &mut params,
                Validity {
                    not_before: after(from),
                    not_after: after(until),
                },
            );
            params
        };
        let key = || KeyPair::generate().expect("a key");
        let ca = |name: &str, until| {
            let mut params = params(name, 0, until);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let root_key = key();
        // Roots of different chains have different names.
        let name_of_root = format!(
            "root {}",
            base64::engine::general_purpose::STANDARD.encode(root_key.public_key_raw())
        );
        let root = CertifiedIssuer::self_signed(ca(&name_of_root, Self::ROOT_ENDS), root_key).expect("signed");
        let intermediate = CertifiedIssuer::signed_by(ca("intermediate", Self::INTERMEDIATE_ENDS), key(), &root);
        let intermediate = intermediate.expect("signed");
        let mut serving = params("serving", from, until);
        serving.subject_alt_names = vec![rcgen::SanType::DnsName(name.try_into().expect("a name"))];
        let serving_key = key();
        let serving = serving.signed_by(&serving_key, &intermediate).expect("signed");
        Self {
            root: root.pem(),
            certificates: serving.pem() + &intermediate.pem(),
            key: serving_key.serialize_pem(),
        }
    }

    /// The certificates in DER.
    pub(crate) fn ders(&self) -> Vec<CertificateDer<'static>> {
        let all = CertificateDer::pem_slice_iter(self.certificates.as_bytes());
        all.map(|der| der.expect("PEM")).collect()
    }

    /// The serving certificate alone, PEM.
    pub(crate) fn leaf(&self) -> &str {
        const END: &str = "-----END CERTIFICATE-----";
        let end = self.certificates.find(END).expect("PEM") + END.len();
        &self.certificates[..end]
    }
}
