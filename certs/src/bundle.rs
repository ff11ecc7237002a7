//! The set of CAs that API servers are told to trust, as the bytes of a `caBundle`.
//!
//! The order depends on the certificates alone, so that replicas that hold the same CAs publish the same bytes.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::authority::CaCertificate;

/// Why an API server that trusts a bundle would refuse a serving certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// No certificate of the bundle holds at this moment.
    #[error("the bundle holds no CA that is valid now")]
    NoAuthority,
    /// The certificate does not verify.
    #[error("the serving certificate does not verify for {name}: {reason}")]
    Refused {
        /// The name it was verified for.
        name: String,
        /// The verifier's words.
        reason: String,
    },
}

/// CA certificates, each once, the one that ends first in front.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle(Vec<CaCertificate>);

impl Bundle {
    /// The union of `authorities`.
    pub fn of(authorities: impl IntoIterator<Item = CaCertificate>) -> Self {
        let mut all: Vec<_> = authorities.into_iter().collect();
        all.sort_by(|a, b| {
            let end = |ca: &CaCertificate| ca.validity().not_after;
            end(a).cmp(&end(b)).then_with(|| a.der().cmp(b.der()))
        });
        all.dedup();
        Self(all)
    }

    /// What a `caBundle` says. What is not a certificate in it is passed over, as API servers do.
    pub fn parse(pem: &[u8]) -> Self {
        Self::of(CaCertificate::all_from_pem(pem))
    }

    /// Without those that have ended.
    #[must_use]
    pub fn pruned(mut self, now: Timestamp) -> Self {
        self.0.retain(|ca| !ca.validity().is_over(now));
        self
    }

    /// Whether `authority` is one of them.
    pub fn contains(&self, authority: &CaCertificate) -> bool {
        self.0.contains(authority)
    }

    /// Whether `authority` is one of those that a `caBundle` says.
    pub fn mentions(pem: &[u8], authority: &CaCertificate) -> bool {
        CertificateDer::pem_slice_iter(pem).any(|der| der.is_ok_and(|der| der == *authority.der()))
    }

    /// The certificates in order.
    pub fn certificates(&self) -> &[CaCertificate] {
        &self.0
    }

    /// The bytes of the `caBundle`, before the base64 of JSON.
    pub fn to_pem(&self) -> Vec<u8> {
        self.0
            .iter()
            .map(CaCertificate::to_pem)
            .collect::<String>()
            .into_bytes()
    }

    /// Whether a client that trusts this bundle accepts `leaf` for each of `names` at `now`.
    ///
    /// CAs are judged by their validity as well, as Go's verifier does and rustls's does not.
    pub fn verifies(
        &self,
        leaf: &CertificateDer<'_>,
        names: &[ServerName<'_>],
        now: Timestamp,
    ) -> Result<(), Untrusted> {
        let mut roots = RootCertStore::empty();
        for authority in self.0.iter().filter(|ca| ca.validity().holds(now)) {
            // One that cannot be an anchor is worth nothing to an API server either.
            let _ = roots.add(authority.der().clone());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|_| Untrusted::NoAuthority)?;
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        for name in names {
            verifier
                .verify_server_cert(leaf, &[], name, &[], at)
                .map_err(|error| Untrusted::Refused {
                    name: name.to_str().into_owned(),
                    reason: error.to_string(),
                })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{after, authority, leaf, names};

    const DAY: i64 = 86_400;

    fn ca(day: i64) -> CaCertificate {
        authority(day * DAY).certificate().clone()
    }

    fn sans() -> Vec<ServerName<'static>> {
        names().subject_alternative_names().unwrap()
    }

    #[test]
    fn the_one_that_ends_first_stands_first() {
        let (early, late) = (ca(0), ca(1));
        let bundle = Bundle::of([late.clone(), early.clone(), late.clone()]);
        assert_eq!(bundle.certificates(), [early, late]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn bytes_depend_on_the_set_alone(mut picks in proptest::collection::vec(0_usize..4, 0..8), rotate in 0_usize..8) {
            // Two of the four end at the same moment.
            let four = [ca(0), ca(1), ca(1), ca(2)];
            let bytes = |picks: &[usize]| Bundle::of(picks.iter().map(|pick| four[*pick].clone())).to_pem();
            let one = bytes(&picks);
            let turns = rotate % picks.len().max(1);
            picks.rotate_left(turns);
            picks.extend_from_within(..turns);
            prop_assert_eq!(&one, &bytes(&picks));
            prop_assert_eq!(Bundle::parse(&one).to_pem(), one);
        }

        #[test]
        fn no_bytes_make_parsing_fail(bytes: Vec<u8>, at in 0_usize..400) {
            let mut pem = Bundle::of([ca(0)]).to_pem();
            pem.splice(at..at, bytes);
            let parsed = Bundle::parse(&pem);
            prop_assert!(parsed.certificates().len() <= 1);
        }
    }

    #[test]
    fn nonsense_between_certificates_is_passed_over() {
        let one = ca(0);
        let pem = format!("# a comment\n{}-----BEGIN CERTIFICATE-----\n!!\n", one.to_pem());
        assert_eq!(Bundle::parse(pem.as_bytes()), Bundle::of([one.clone()]));
        assert!(Bundle::mentions(pem.as_bytes(), &one));
        assert!(!Bundle::mentions(pem.as_bytes(), &ca(0)));
        assert_eq!(Bundle::parse(b""), Bundle::default());
    }

    #[test]
    fn what_has_ended_goes() {
        let (early, late) = (ca(0), ca(1));
        let both = Bundle::of([early.clone(), late.clone()]);
        assert_eq!(both.clone().pruned(after(365 * DAY)), both);
        assert_eq!(both.clone().pruned(after(365 * DAY + 1)), Bundle::of([late]));
        assert!(both.contains(&early));
        assert!(!both.pruned(after(365 * DAY + 1)).contains(&early));
    }

    #[test]
    fn verifies_what_its_authorities_signed() {
        let (one, other) = (authority(0), authority(0));
        let leaf = leaf(&one, 0);
        let both = Bundle::of([one.certificate().clone(), other.certificate().clone()]);
        assert_eq!(both.verifies(leaf.certificate(), &sans(), after(0)), Ok(()));
        let stranger = Bundle::of([other.certificate().clone()]);
        let refused = stranger.verifies(leaf.certificate(), &sans(), after(0));
        assert!(
            matches!(&refused, Err(Untrusted::Refused { name, .. }) if name == "hook.system.svc"),
            "{refused:?}"
        );
        assert_eq!(
            Bundle::default().verifies(leaf.certificate(), &sans(), after(0)),
            Err(Untrusted::NoAuthority)
        );
    }

    #[test]
    fn a_name_that_is_not_borne_is_refused() {
        let one = authority(0);
        let names = [sans(), vec![ServerName::try_from("other.svc").unwrap()]].concat();
        let refused = Bundle::of([one.certificate().clone()]).verifies(leaf(&one, 0).certificate(), &names, after(0));
        assert!(
            matches!(&refused, Err(Untrusted::Refused { name, .. }) if name == "other.svc"),
            "{refused:?}"
        );
    }

    #[test]
    fn the_time_counts_for_both_certificates() {
        let one = authority(0);
        let leaf = leaf(&one, 0);
        let bundle = Bundle::of([one.certificate().clone()]);
        let at = |seconds| bundle.verifies(leaf.certificate(), &sans(), after(seconds));
        assert_eq!(at(7 * DAY), Ok(()));
        let late = at(7 * DAY + 1);
        assert!(
            matches!(&late, Err(Untrusted::Refused { reason, .. }) if reason.contains("expired")),
            "{late:?}"
        );
        // rustls would take an anchor that has ended; Go does not.
        assert_eq!(at(365 * DAY + 1), Err(Untrusted::NoAuthority));
        assert_eq!(at(-3_601), Err(Untrusted::NoAuthority));
    }
}
