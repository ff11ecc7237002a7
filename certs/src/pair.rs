//! A serving certificate that somebody else has made: its chain, its key, and whether it can be served.
//!
//! Pure: from bytes and the time. Where the bytes come from, and what is done with a pair that is refused, is decided in
//! [`files`](crate::files).

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

use crate::authority::{CaCertificate, Unusable};
use crate::policy::Validity;

/// Why a pair is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A certificate or the key.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// It holds later.
    #[error("the certificate does not hold before {0}")]
    NotYet(Timestamp),
    /// It held once.
    #[error("the certificate has ended, at {0}")]
    Ended(Timestamp),
    /// No API server would accept it, because it asks for a name that is not on it.
    #[error("the certificate is for none of the names that we are called by: {0}")]
    Name(String),
}

/// A chain, the serving certificate in front, and its key.
#[derive(Clone)]
pub struct Pair {
    certified: Arc<CertifiedKey>,
    validity: Validity,
    ca_not_after: Option<Timestamp>,
}

impl Pair {
    /// Reads PEM: the chain in the order in which it is served, a PKCS #8, PKCS #1 or SEC 1 key, and, where it is known, what
    /// the issuer says to trust. Whether it holds is for [`judge`](Self::judge) to say.
    pub fn parse(chain: &[u8], key: &[u8], ca: Option<&[u8]>) -> Result<Self, Unusable> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Unusable::Certificate)?;
        let of_chain = chain
            .iter()
            .map(|der| CaCertificate::from_der(der.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let validity = of_chain.first().ok_or(Unusable::Certificate)?.validity();

        let mut der = PrivateKeyDer::from_pem_slice(key).map_err(|_| Unusable::Key)?;
        let key = any_supported_type(&der).map_err(|_| Unusable::Key);
        der.zeroize();
        let certified = CertifiedKey::new(chain, key?);
        certified.keys_match().map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => Unusable::Mismatch,
            _ => Unusable::Certificate,
        })?;
        let trusted = ca.map(CaCertificate::all_from_pem).unwrap_or_default();
        Ok(Self {
            certified: Arc::new(certified),
            validity,
            ca_not_after: first_end_of_issuers(&of_chain, &trusted),
        })
    }

    /// Whether an API server that calls us by one of `names` can accept it at `now`.
    pub fn judge(&self, names: &[ServerName<'_>], now: Timestamp) -> Result<(), Refused> {
        let Validity { not_before, not_after } = self.validity;
        if self.validity.is_over(now) {
            return Err(Refused::Ended(not_after));
        }
        if !self.validity.holds(now) {
            return Err(Refused::NotYet(not_before));
        }
        let leaf = self.certified.end_entity_cert().map_err(|_| Unusable::Certificate)?;
        let leaf = ParsedCertificate::try_from(leaf).map_err(|_| Unusable::Certificate)?;
        if !names.iter().any(|name| verify_server_name(&leaf, name).is_ok()) {
            let names: Vec<_> = names.iter().map(ServerName::to_str).collect();
            return Err(Refused::Name(names.join(", ")));
        }
        Ok(())
    }

    /// When the serving certificate holds.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// When the first of the CAs above the serving certificate ends, as far as they are known.
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

/// The first end among the rest of the chain and whoever of `trusted` is named as the issuer of its last certificate. Of
/// several of that name, which is how a CA is renewed, the one that lives longest counts.
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

    fn parse(chain: &Chain) -> Result<Pair, Unusable> {
        Pair::parse(chain.certificates.as_bytes(), chain.key.as_bytes(), None)
    }

    #[test]
    fn a_chain_is_kept_whole_and_in_order() {
        let chain = Chain::new(0, 90);
        let pair = parse(&chain).unwrap();
        assert_eq!(pair.certified().cert, chain.ders());
        assert_eq!(
            chain.ders().len(),
            2,
            "the serving certificate and the one that signed it"
        );
        assert_eq!(pair.judge(&wanted(), after(1)), Ok(()));
    }

    #[test]
    fn it_is_served_from_its_first_moment_to_its_last() {
        let pair = parse(&Chain::new(10, 90)).unwrap();
        assert_eq!(pair.judge(&wanted(), after(9)), Err(Refused::NotYet(after(10))));
        assert_eq!(pair.judge(&wanted(), after(10)), Ok(()));
        assert_eq!(pair.judge(&wanted(), after(90)), Ok(()));
        assert_eq!(pair.judge(&wanted(), after(91)), Err(Refused::Ended(after(90))));
    }

    #[test]
    fn one_name_is_enough_and_none_is_not() {
        let chain = Chain::for_name("hook.system.svc", 0, 90);
        assert_eq!(parse(&chain).unwrap().judge(&wanted(), after(1)), Ok(()));
        let stranger = Chain::for_name("hook.elsewhere.svc", 0, 90);
        let refused = parse(&stranger).unwrap().judge(&wanted(), after(1)).unwrap_err();
        let Refused::Name(names) = refused else {
            panic!("{refused}")
        };
        assert_eq!(names, "hook.system.svc, hook.system.svc.cluster.local");
    }

    #[test]
    fn what_cannot_be_served_says_why() {
        let (one, other) = (Chain::new(0, 90), Chain::new(0, 90));
        let parse = |chain: &str, key: &str| Pair::parse(chain.as_bytes(), key.as_bytes(), None).unwrap_err();
        assert_eq!(parse("", &one.key), Unusable::Certificate);
        assert_eq!(parse("nonsense", &one.key), Unusable::Certificate);
        let half = &one.certificates[..one.certificates.len() - 40];
        assert_eq!(parse(half, &one.key), Unusable::Certificate, "a chain that is cut off");
        assert_eq!(parse(&one.certificates, ""), Unusable::Key);
        assert_eq!(parse(&one.certificates, &one.certificates), Unusable::Key);
        assert_eq!(parse(&one.certificates, &other.key), Unusable::Mismatch);
        let empty = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert_eq!(parse(empty, &one.key), Unusable::Certificate);
    }

    #[test]
    fn every_beginning_of_a_pair_is_refused_and_none_panics() {
        let chain = Chain::new(0, 90);
        let (certificates, key) = (chain.certificates.as_bytes(), chain.key.as_bytes());
        // Up to the last dash, after which it is whole.
        for cut in 0..key.trim_ascii_end().len() {
            assert_eq!(
                Pair::parse(certificates, &key[..cut], None).unwrap_err(),
                Unusable::Key,
                "{cut}"
            );
        }
        for cut in (0..certificates.len()).step_by(7) {
            let _ = Pair::parse(&certificates[..cut], key, None);
        }
    }

    #[test]
    fn the_end_of_the_ca_is_that_of_the_first_to_end_above() {
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
