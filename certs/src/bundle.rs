//! The set of CAs that API servers should trust, and its encoding as a `caBundle`.
//!
//! The order depends only on the certificates, so replicas with the same CAs publish the same bytes.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::authority::CaCertificate;

/// Why an API server that trusts a bundle would reject a serving certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerificationError {
    /// No CA of the bundle is valid now.
    #[error("the bundle contains no CA that is valid now")]
    NoValidCa,
    /// The certificate does not verify.
    #[error("the serving certificate does not verify for {name}: {reason}")]
    Rejected {
        /// The name that was verified.
        name: String,
        /// The verifier's message.
        reason: String,
    },
}

/// CA certificates without duplicates, sorted by expiry.
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

    /// Parses a `caBundle`. Content that is not a certificate is ignored, as API servers do.
    pub fn parse(pem: &[u8]) -> Self {
        Self::of(CaCertificate::all_from_pem(pem))
    }

    /// Removes expired CAs.
    #[must_use]
    pub fn without_expired_at(mut self, now: Timestamp) -> Self {
        self.0.retain(|ca| !ca.validity().is_expired(now));
        self
    }

    /// Whether the bundle contains `authority`.
    pub fn contains(&self, authority: &CaCertificate) -> bool {
        self.0.contains(authority)
    }

    /// Whether a `caBundle` contains `authority`, without parsing all of it.
    pub fn pem_contains(pem: &[u8], authority: &CaCertificate) -> bool {
        CertificateDer::pem_slice_iter(pem).any(|der| der.is_ok_and(|der| der == *authority.der()))
    }

    /// The certificates, sorted by expiry.
    pub fn certificates(&self) -> &[CaCertificate] {
        &self.0
    }

    /// The `caBundle` as PEM (not base64-encoded).
    pub fn to_pem(&self) -> Vec<u8> {
        self.0
            .iter()
            .map(CaCertificate::to_pem)
            .collect::<String>()
            .into_bytes()
    }

    /// Whether a client that trusts this bundle accepts `leaf` for each of `names` at `now`.
    ///
    /// Expired CAs are rejected too, as in Go's verifier; rustls ignores the validity of trust anchors.
    pub fn verifies(
        &self,
        leaf: &CertificateDer<'_>,
        names: &[ServerName<'_>],
        now: Timestamp,
    ) -> Result<(), VerificationError> {
        let mut roots = RootCertStore::empty();
        for authority in self.0.iter().filter(|ca| ca.validity().is_valid_at(now)) {
            // An API server cannot use an invalid trust anchor either.
            let _ = roots.add(authority.der().clone());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|_| VerificationError::NoValidCa)?;
        let seconds = u64::try_from(now.as_second()).unwrap_or_default();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        for name in names {
            verifier
                .verify_server_cert(leaf, &[], name, &[], at)
                .map_err(|error| VerificationError::Rejected {
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
    fn certificates_are_sorted_by_expiry() {
        let (early, late) = (ca(0), ca(1));
        let bundle = Bundle::of([late.clone(), early.clone(), late.clone()]);
        assert_eq!(bundle.certificates(), [early, late]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn equal_sets_are_encoded_equally(mut picks in proptest::collection::vec(0_usize..4, 0..8), rotate in 0_usize..8) {
            // Two of the four expire at the same time.
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
        fn parsing_ignores_arbitrary_bytes(bytes: Vec<u8>, at in 0_usize..400) {
            let mut pem = Bundle::of([ca(0)]).to_pem();
            pem.splice(at..at, bytes);
            let parsed = Bundle::parse(&pem);
            prop_assert!(parsed.certificates().len() <= 1);
        }
    }

    #[test]
    fn content_between_certificates_is_ignored() {
        let one = ca(0);
        let pem = format!("# a comment\n{}-----BEGIN CERTIFICATE-----\n!!\n", one.to_pem());
        assert_eq!(Bundle::parse(pem.as_bytes()), Bundle::of([one.clone()]));
        assert!(Bundle::pem_contains(pem.as_bytes(), &one));
        assert!(!Bundle::pem_contains(pem.as_bytes(), &ca(0)));
        assert_eq!(Bundle::parse(b""), Bundle::default());
    }

    #[test]
    fn expired_cas_are_removed() {
        let (early, late) = (ca(0), ca(1));
        let both = Bundle::of([early.clone(), late.clone()]);
        assert_eq!(both.clone().without_expired_at(after(365 * DAY)), both);
        assert_eq!(
            both.clone().without_expired_at(after(365 * DAY + 1)),
            Bundle::of([late])
        );
        assert!(both.contains(&early));
        assert!(!both.without_expired_at(after(365 * DAY + 1)).contains(&early));
    }

    #[test]
    fn certificates_signed_by_a_ca_of_the_bundle_are_accepted() {
        let (one, other) = (authority(0), authority(0));
        let leaf = leaf(&one, 0);
        let both = Bundle::of([one.certificate().clone(), other.certificate().clone()]);
        assert_eq!(both.verifies(leaf.certificate(), &sans(), after(0)), Ok(()));
        let stranger = Bundle::of([other.certificate().clone()]);
        let rejected = stranger.verifies(leaf.certificate(), &sans(), after(0));
        assert!(
            matches!(&rejected, Err(VerificationError::Rejected { name, .. }) if name == "hook.system.svc"),
            "{rejected:?}"
        );
        assert_eq!(
            Bundle::default().verifies(leaf.certificate(), &sans(), after(0)),
            Err(VerificationError::NoValidCa)
        );
    }

    #[test]
    fn a_certificate_without_the_name_is_rejected() {
        let one = authority(0);
        let names = [sans(), vec![ServerName::try_from("other.svc").unwrap()]].concat();
        let rejected = Bundle::of([one.certificate().clone()]).verifies(leaf(&one, 0).certificate(), &names, after(0));
        assert!(
            matches!(&rejected, Err(VerificationError::Rejected { name, .. }) if name == "other.svc"),
            "{rejected:?}"
        );
    }

    #[test]
    fn serving_certificate_and_ca_must_both_be_valid_now() {
        let one = authority(0);
        let leaf = leaf(&one, 0);
        let bundle = Bundle::of([one.certificate().clone()]);
        let at = |seconds| bundle.verifies(leaf.certificate(), &sans(), after(seconds));
        assert_eq!(at(7 * DAY), Ok(()));
        let late = at(7 * DAY + 1);
        assert!(
            matches!(&late, Err(VerificationError::Rejected { reason, .. }) if reason.contains("expired")),
            "{late:?}"
        );
        // rustls accepts an expired trust anchor; Go does not.
        assert_eq!(at(365 * DAY + 1), Err(VerificationError::NoValidCa));
        assert_eq!(at(-3_601), Err(VerificationError::NoValidCa));
    }
}
