//! The serving certificate: issued for this process and kept only in memory.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use zeroize::Zeroize;

use crate::authority::{Authority, CaCertificate, CertificateError, set_validity};
use crate::bundle::Bundle;
use crate::policy::{Policy, Validity};

/// The properties of a serving certificate that decisions depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// The CA that signed it.
    pub issuer: CaCertificate,
    /// Its validity period.
    pub validity: Validity,
}

/// A serving certificate with its key.
#[derive(Clone)]
pub struct Leaf {
    serving: Serving,
    certified: Arc<CertifiedKey>,
}

impl Leaf {
    /// Generates a key and issues a certificate for `names`, signed by `authority`, that does not outlive the CA.
    ///
    /// The certificate is then verified like an API server would, so that a CA whose name constraints exclude our names
    /// is detected here and not in a failing handshake.
    pub fn issue(
        authority: &Authority,
        names: &[ServerName<'static>],
        now: Timestamp,
        policy: &Policy,
    ) -> Result<Self, CertificateError> {
        let validity = planned_validity(authority.certificate(), now, policy);
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "admission webhook");
        params.subject_alt_names = names.iter().map(subject_alternative_name).collect::<Result<_, _>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, validity);

        let mut key = KeyPair::generate().map_err(|error| CertificateError::Issue(error.to_string()))?;
        let certificate = authority.sign(&params, &key)?;
        let mut der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signing = any_ecdsa_type(&der);
        key.zeroize();
        der.zeroize();
        let signing = signing.map_err(|_| CertificateError::Key)?;

        let issuer = authority.certificate().clone();
        // A CA that is not valid yet cannot be verified; the local clock may be wrong.
        if issuer.validity().is_valid_at(now) {
            Bundle::of([issuer.clone()])
                .verifies(&certificate, names, now)
                .map_err(|error| CertificateError::Rejected(error.to_string()))?;
        }
        Ok(Self {
            serving: Serving { issuer, validity },
            certified: Arc::new(CertifiedKey::new(vec![certificate], signing)),
        })
    }

    /// Its issuer and validity period.
    pub fn serving(&self) -> &Serving {
        &self.serving
    }

    /// The certificate in DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certified.cert[0]
    }

    /// Certificate and key as rustls serves them.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Leaf").field(&self.serving).finish()
    }
}

/// The validity period of a serving certificate issued now.
pub(crate) fn planned_validity(issuer: &CaCertificate, now: Timestamp, policy: &Policy) -> Validity {
    let mut validity = Validity::starting(now, policy.serving_life, policy);
    validity.not_after = validity.not_after.min(issuer.validity().not_after);
    validity
}

fn subject_alternative_name(name: &ServerName<'_>) -> Result<SanType, CertificateError> {
    match name {
        ServerName::DnsName(name) => name
            .as_ref()
            .to_owned()
            .try_into()
            .map(SanType::DnsName)
            .map_err(|error: rcgen::Error| CertificateError::Issue(error.to_string())),
        ServerName::IpAddress(address) => Ok(SanType::IpAddress(IpAddr::from(*address))),
        _ => Err(CertificateError::Issue("unsupported type of name".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;
    use crate::testing::{after, authority, ca_with, leaf, names};

    #[test]
    fn a_serving_certificate_has_all_names_and_only_server_auth() {
        let mut names = names();
        names.extra_sans = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let names = names.subject_alternative_names().unwrap();
        let made = Leaf::issue(&authority(0), &names, after(0), &Policy::default()).unwrap();
        let (_, parsed) = X509Certificate::from_der(made.certificate()).unwrap();
        let sans = parsed.subject_alternative_name().unwrap().unwrap();
        assert_eq!(sans.value.general_names.len(), 4);
        assert!(!parsed.is_ca());
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && !usage.client_auth && !usage.any);
    }

    #[test]
    fn a_serving_certificate_is_valid_for_seven_days_and_backdated_by_an_hour() {
        let made = leaf(&authority(0), 86_400);
        let Validity { not_before, not_after } = made.serving().validity;
        assert_eq!((not_before, not_after), (after(86_400 - 3_600), after(8 * 86_400)));
    }

    #[test]
    fn never_outlives_its_issuer() {
        let authority = authority(0);
        let made = leaf(&authority, 364 * 86_400);
        assert_eq!(
            made.serving().validity.not_after,
            authority.certificate().validity().not_after
        );
    }

    #[test]
    fn each_serving_certificate_has_its_own_key() {
        let authority = authority(0);
        let key = |leaf: &Leaf| leaf.certified().key.public_key().unwrap().to_vec();
        assert_ne!(key(&leaf(&authority, 0)), key(&leaf(&authority, 0)));
        leaf(&authority, 0).certified().keys_match().unwrap();
    }

    #[test]
    fn a_ca_whose_constraints_exclude_our_names_is_rejected() {
        let constrained = ca_with(|params| {
            params.name_constraints = Some(rcgen::NameConstraints {
                permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("example.org".to_owned())],
                excluded_subtrees: Vec::new(),
            });
        });
        let names = names().subject_alternative_names().unwrap();
        let rejected = Leaf::issue(&constrained.unwrap(), &names, after(0), &Policy::default()).unwrap_err();
        assert!(
            matches!(&rejected, CertificateError::Rejected(why) if why.contains("hook.system.svc")),
            "{rejected}"
        );
    }

    #[test]
    fn a_ca_that_is_not_valid_yet_can_sign() {
        let made = leaf(&authority(30 * 86_400), 0);
        assert!(made.serving().validity.is_valid_at(after(0)));
    }

    #[test]
    fn debug_shows_no_key() {
        let shown = format!("{:?}", leaf(&authority(0), 0));
        assert!(shown.starts_with("Leaf(Serving { issuer: CaCertificate("), "{shown}");
        assert!(!shown.contains("key"), "{shown}");
    }
}
