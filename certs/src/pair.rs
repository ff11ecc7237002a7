//! A serving certificate from another issuer: its chain, its key, and whether it can be served. Pure; [`files`](crate::files)
//! reads the files.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::verify_server_name;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroize;

use crate::authority::{CaCertificate, CertificateError};
use crate::policy::Validity;

/// Why a certificate is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// A certificate or the key is invalid.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate is not valid yet.
    #[error("the certificate is not valid before {0}")]
    NotYetValid(Timestamp),
    /// The certificate has expired.
    #[error("the certificate expired at {0}")]
    Expired(Timestamp),
    /// The certificate contains none of our names, so every API server would reject it.
    #[error("the certificate contains none of the webhook's names: {0}")]
    Name(String),
}

/// A certificate chain, serving certificate first, and its key.
#[derive(Clone)]
pub struct Pair {
    certified: Arc<CertifiedKey>,
    validity: Validity,
    ca_not_after: Option<Timestamp>,
}

impl Pair {
    /// Reads PEM: the chain in the order in which it is served, the key (PKCS #8, PKCS #1 or SEC 1), and the issuer's CA
    /// certificates if known. Validity and names are checked by [`check`](Self::check).
    pub fn parse(chain: &[u8], key: &[u8], ca: Option<&[u8]>) -> Result<Self, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| CertificateError::Certificate)?;
        let chain_certificates = chain
            .iter()
            .map(|der| CaCertificate::from_der(der.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let validity = chain_certificates
            .first()
            .ok_or(CertificateError::Certificate)?
            .validity();

        let mut der = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::Key)?;
        let key = any_supported_type(&der).map_err(|_| CertificateError::Key);
        der.zeroize();
        let certified = CertifiedKey::new(chain, key?);
        certified.keys_match().map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => CertificateError::Mismatch,
            _ => CertificateError::Certificate,
        })?;
        let trusted = ca.map(CaCertificate::all_from_pem).unwrap_or_default();
        Ok(Self {
            certified: Arc::new(certified),
            validity,
            ca_not_after: first_end_of_issuers(&chain_certificates, &trusted),
        })
    }

    /// Checks whether an API server that calls us by one of `names` can accept the certificate at `now`.
    pub fn check(&self, names: &[ServerName<'_>], now: Timestamp) -> Result<(), Rejected> {
        let Validity { not_before, not_after } = self.validity;
        if self.validity.is_expired(now) {
            return Err(Rejected::Expired(not_after));
        }
        if !self.validity.is_valid_at(now) {
            return Err(Rejected::NotYetValid(not_before));
        }
        let leaf = self
            .certified
            .end_entity_cert()
            .map_err(|_| CertificateError::Certificate)?;
        let leaf = ParsedCertificate::try_from(leaf).map_err(|_| CertificateError::Certificate)?;
        if !names.iter().any(|name| verify_server_name(&leaf, name).is_ok()) {
            let names: Vec<_> = names.iter().map(ServerName::to_str).collect();
            return Err(Rejected::Name(names.join(", ")));
        }
        Ok(())
    }

    /// The validity period of the serving certificate.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The earliest expiry among the known CAs of the serving certificate.
    pub fn ca_not_after(&self) -> Option<Timestamp> {
        self.ca_not_after
    }

    /// Chain and key as rustls serves them.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Validity { not_before, not_after } = self.validity;
        write!(f, "Pair({not_before}..{not_after})")
    }
}

/// The earliest expiry among the chain's CAs and the issuer of its last certificate in `trusted`. If several have the
/// issuer's name, as after a renewal of the CA, the one that expires last is used.
fn first_end_of_issuers(chain: &[CaCertificate], trusted: &[CaCertificate]) -> Option<Timestamp> {
    let root = chain.last().and_then(|last| {
        let (_, last) = X509Certificate::from_der(last.der()).ok()?;
        let is_issuer = |ca: &&CaCertificate| {
            X509Certificate::from_der(ca.der()).is_ok_and(|(_, ca)| ca.subject().as_raw() == last.issuer().as_raw())
        };
        trusted.iter().filter(is_issuer).map(end).max()
    });
    chain.iter().skip(1).map(end).chain(root).min()
}

fn end(certificate: &CaCertificate) -> Timestamp {
    certificate.validity().not_after
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Chain, after, names};

    fn wanted() -> Vec<ServerName<'static>> {
        names().subject_alternative_names().unwrap()
    }

    fn parse(chain: &Chain) -> Result<Pair, CertificateError> {
        Pair::parse(chain.certificates.as_bytes(), chain.key.as_bytes(), None)
    }

    #[test]
    fn a_chain_is_served_completely_and_in_order() {
        let chain = Chain::new(0, 90);
        let pair = parse(&chain).unwrap();
        assert_eq!(pair.certified().cert, chain.ders());
        assert_eq!(
            chain.ders().len(),
            2,
            "the serving certificate and the one that signed it"
        );
        assert_eq!(pair.check(&wanted(), after(1)), Ok(()));
    }

    #[test]
    fn a_certificate_is_served_only_within_its_validity_period() {
        let pair = parse(&Chain::new(10, 90)).unwrap();
        assert_eq!(pair.check(&wanted(), after(9)), Err(Rejected::NotYetValid(after(10))));
        assert_eq!(pair.check(&wanted(), after(10)), Ok(()));
        assert_eq!(pair.check(&wanted(), after(90)), Ok(()));
        assert_eq!(pair.check(&wanted(), after(91)), Err(Rejected::Expired(after(90))));
    }

    #[test]
    fn a_certificate_must_contain_one_of_the_names() {
        let chain = Chain::for_name("hook.system.svc", 0, 90);
        assert_eq!(parse(&chain).unwrap().check(&wanted(), after(1)), Ok(()));
        let stranger = Chain::for_name("hook.elsewhere.svc", 0, 90);
        let rejected = parse(&stranger).unwrap().check(&wanted(), after(1)).unwrap_err();
        let Rejected::Name(names) = rejected else {
            panic!("{rejected}")
        };
        assert_eq!(names, "hook.system.svc, hook.system.svc.cluster.local");
    }

    #[test]
    fn invalid_input_is_rejected_with_its_reason() {
        let (one, other) = (Chain::new(0, 90), Chain::new(0, 90));
        let parse = |chain: &str, key: &str| Pair::parse(chain.as_bytes(), key.as_bytes(), None).unwrap_err();
        assert_eq!(parse("", &one.key), CertificateError::Certificate);
        assert_eq!(parse("nonsense", &one.key), CertificateError::Certificate);
        let half = &one.certificates[..one.certificates.len() - 40];
        assert_eq!(
            parse(half, &one.key),
            CertificateError::Certificate,
            "a chain that is cut off"
        );
        assert_eq!(parse(&one.certificates, ""), CertificateError::Key);
        assert_eq!(parse(&one.certificates, &one.certificates), CertificateError::Key);
        assert_eq!(parse(&one.certificates, &other.key), CertificateError::Mismatch);
        let empty = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert_eq!(parse(empty, &one.key), CertificateError::Certificate);
    }

    #[test]
    fn truncated_input_is_rejected_without_a_panic() {
        let chain = Chain::new(0, 90);
        let (certificates, key) = (chain.certificates.as_bytes(), chain.key.as_bytes());
        // Without the final line break the key is complete.
        for cut in 0..key.trim_ascii_end().len() {
            assert_eq!(
                Pair::parse(certificates, &key[..cut], None).unwrap_err(),
                CertificateError::Key,
                "{cut}"
            );
        }
        for cut in (0..certificates.len()).step_by(7) {
            let _ = Pair::parse(&certificates[..cut], key, None);
        }
    }

    #[test]
    fn ca_not_after_is_the_earliest_expiry_of_the_issuers() {
        let chain = Chain::new(0, 90);
        let with = |ca: &str| {
            let pair = Pair::parse(chain.certificates.as_bytes(), chain.key.as_bytes(), Some(ca.as_bytes()));
            pair.unwrap().ca_not_after()
        };
        assert_eq!(
            with(""),
            Some(after(Chain::INTERMEDIATE_ENDS)),
            "nothing is known of the root"
        );
        assert_eq!(
            with(&chain.root),
            Some(after(Chain::ROOT_ENDS)),
            "which ends before what it signed"
        );
        assert_eq!(
            with(&Chain::new(0, 90).certificates),
            Some(after(Chain::INTERMEDIATE_ENDS)),
            "not its issuer"
        );
        let alone = Pair::parse(chain.leaf().as_bytes(), chain.key.as_bytes(), None).unwrap();
        assert_eq!(alone.ca_not_after(), None);
    }

    #[test]
    fn debug_shows_no_key() {
        let chain = Chain::new(0, 90);
        let shown = format!("{:?}", parse(&chain).unwrap());
        assert!(shown.starts_with("Pair(2026-"), "{shown}");
        assert!(chain.key.lines().all(|line| !shown.contains(line)), "{shown}");
    }
}
