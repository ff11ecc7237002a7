//! A certificate authority: the CA certificate and the key that signs serving certificates.
//!
//! Both our own CAs and those that an admin provides are parsed from PEM by the same code.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SignatureAlgorithm,
};
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::sign::SigningKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::{Zeroize, Zeroizing};

use crate::policy::{Policy, Validity};

/// Why a certificate or key cannot be used. Never contains key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// An entry of the Secret's data is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The certificate is not PEM, or not X.509.
    #[error("the certificate cannot be parsed")]
    Certificate,
    /// The certificate must not sign other certificates (RFC 5280, 4.2.1.9 and 4.2.1.3).
    #[error("the certificate is not a CA")]
    NotAuthority,
    /// The key is not PEM, or its algorithm is not supported.
    #[error("the private key cannot be parsed")]
    Key,
    /// The key belongs to another certificate.
    #[error("the private key does not match the certificate")]
    Mismatch,
    /// Issuing a certificate failed.
    #[error("a certificate cannot be issued: {0}")]
    Issue(String),
    /// API servers would reject the certificates of this CA, for example because of its name constraints.
    #[error("certificates signed by this CA are not accepted: {0}")]
    Rejected(String),
}

/// A CA's certificate without its key, as it is in a bundle. Equal if the DER bytes are equal.
#[derive(Clone)]
pub struct CaCertificate {
    der: CertificateDer<'static>,
    validity: Validity,
}

impl CaCertificate {
    /// Parses one X.509 certificate.
    pub fn from_der(der: CertificateDer<'static>) -> Result<Self, CertificateError> {
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| CertificateError::Certificate)?;
        let moment = |seconds| Timestamp::from_second(seconds).map_err(|_| CertificateError::Certificate);
        let validity = Validity {
            not_before: moment(parsed.validity().not_before.timestamp())?,
            not_after: moment(parsed.validity().not_after.timestamp())?,
        };
        Ok(Self { der, validity })
    }

    /// All certificates of a PEM text, in order. Other content is ignored.
    pub fn all_from_pem(pem: &[u8]) -> Vec<Self> {
        CertificateDer::pem_slice_iter(pem)
            .filter_map(|der| Self::from_der(der.ok()?).ok())
            .collect()
    }

    /// The certificate in DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Its validity period.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The certificate in PEM (RFC 7468), ending with a newline.
    pub fn to_pem(&self) -> String {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(&self.der);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, tail) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = tail;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }
}

impl PartialEq for CaCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for CaCertificate {}

impl fmt::Debug for CaCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Validity { not_before, not_after } = self.validity;
        write!(f, "CaCertificate({not_before}..{not_after})")
    }
}

/// A CA with its key.
#[derive(Clone)]
pub struct Authority {
    certificate: CaCertificate,
    certificate_pem: Arc<str>,
    key_pem: Arc<Zeroizing<String>>,
    signer: Arc<Signer>,
}

impl Authority {
    /// Issues a new self-signed CA (ECDSA P-256), valid from `now`.
    pub fn issue(now: Timestamp, policy: &Policy) -> Result<Self, CertificateError> {
        let failed = |error: rcgen::Error| CertificateError::Issue(error.to_string());
        let mut key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        // The timestamp distinguishes two CAs of one installation for verifiers that look up an issuer by name.
        let name = format!("admission webhook CA {}", now.as_second());
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, Validity::starting(now, policy.ca_life, policy));
        let certificate = params.self_signed(&key).map_err(failed)?;
        let key_pem = Zeroizing::new(key.serialize_pem());
        key.zeroize();
        Self::parse(certificate.pem().as_bytes(), key_pem.as_bytes())
    }

    /// Reads a CA from PEM: the first certificate is the signing one. The key is PKCS #8, PKCS #1 or SEC 1;
    /// RSA, ECDSA P-256 and P-384, or Ed25519. Does not check the validity period.
    pub fn parse(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self, CertificateError> {
        let der = CertificateDer::from_pem_slice(certificate_pem).map_err(|_| CertificateError::Certificate)?;
        let certificate = CaCertificate::from_der(der)?;
        let (_, parsed) = X509Certificate::from_der(certificate.der()).map_err(|_| CertificateError::Certificate)?;
        let signs = match parsed.key_usage() {
            Ok(usage) => usage.is_none_or(|usage| usage.value.key_cert_sign()),
            Err(_) => return Err(CertificateError::Certificate),
        };
        if !parsed.is_ca() || !signs {
            return Err(CertificateError::NotAuthority);
        }
        let signer = Signer::new(key_pem, &parsed)?;
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned);
        Ok(Self {
            certificate_pem: text(certificate_pem).map_err(|_| CertificateError::Certificate)?.into(),
            key_pem: Arc::new(Zeroizing::new(text(key_pem).map_err(|_| CertificateError::Key)?)),
            signer: Arc::new(signer),
            certificate,
        })
    }

    /// Its certificate.
    pub fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// The certificate as PEM, unchanged.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key as PEM, unchanged. Use it only to write the CA Secret.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Signs `params` for `key`.
    pub(crate) fn sign(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<CertificateDer<'static>, CertificateError> {
        let failed = |error: rcgen::Error| CertificateError::Issue(error.to_string());
        let issuer = Issuer::from_ca_cert_der(self.certificate.der(), &*self.signer).map_err(failed)?;
        Ok(params.signed_by(key, &issuer).map_err(failed)?.into())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authority").field(&self.certificate).finish()
    }
}

/// Sets the validity period of a certificate to issue.
pub(crate) fn set_validity(params: &mut CertificateParams, validity: Validity) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |moment: Timestamp| {
        epoch + std::time::Duration::from_secs(u64::try_from(moment.as_second()).unwrap_or_default())
    };
    params.not_before = at(validity.not_before);
    params.not_after = at(validity.not_after);
}

/// Adapts rustls's signing key to rcgen's interface: with ring, rcgen itself reads only PKCS #8, but openssl also writes
/// PKCS #1 and SEC 1.
struct Signer {
    key: Arc<dyn SigningKey>,
    scheme: SignatureScheme,
    algorithm: &'static SignatureAlgorithm,
    public: Vec<u8>,
}

const SCHEMES: [(SignatureScheme, &SignatureAlgorithm); 4] = [
    (SignatureScheme::ECDSA_NISTP256_SHA256, &rcgen::PKCS_ECDSA_P256_SHA256),
    (SignatureScheme::ECDSA_NISTP384_SHA384, &rcgen::PKCS_ECDSA_P384_SHA384),
    (SignatureScheme::RSA_PKCS1_SHA256, &rcgen::PKCS_RSA_SHA256),
    (SignatureScheme::ED25519, &rcgen::PKCS_ED25519),
];

impl Signer {
    fn new(key_pem: &[u8], certificate: &X509Certificate<'_>) -> Result<Self, CertificateError> {
        let mut der = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| CertificateError::Key)?;
        let key = any_supported_type(&der).map_err(|_| CertificateError::Key);
        der.zeroize();
        let key = key?;
        let public = key.public_key().ok_or(CertificateError::Key)?;
        if public.as_ref() != certificate.public_key().raw {
            return Err(CertificateError::Mismatch);
        }
        let (scheme, algorithm) = SCHEMES
            .into_iter()
            .find(|(scheme, _)| key.choose_scheme(&[*scheme]).is_some())
            .ok_or(CertificateError::Key)?;
        let public = certificate.public_key().subject_public_key.data.to_vec();
        Ok(Self {
            key,
            scheme,
            algorithm,
            public,
        })
    }
}

impl PublicKeyData for Signer {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

impl rcgen::SigningKey for Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.key
            .choose_scheme(&[self.scheme])
            .and_then(|signer| signer.sign(message).ok())
            .ok_or(rcgen::Error::RemoteKeyError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{after, authority, ca_with, names, sec1};

    #[test]
    fn a_new_ca_is_backdated_by_an_hour() {
        let issued = authority(0);
        let Validity { not_before, not_after } = issued.certificate().validity();
        assert_eq!((not_before, not_after), (after(-3_600), after(365 * 86_400)));
    }

    #[test]
    fn a_new_ca_must_not_sign_other_cas() {
        let issued = authority(0);
        let (_, parsed) = X509Certificate::from_der(issued.certificate().der()).unwrap();
        assert!(parsed.is_ca());
        let constraints = parsed.basic_constraints().unwrap().unwrap();
        assert!(constraints.critical);
        assert_eq!(constraints.value.path_len_constraint, Some(0));
        let oid = &parsed
            .public_key()
            .algorithm
            .parameters
            .as_ref()
            .unwrap()
            .as_oid()
            .unwrap();
        assert_eq!(oid.to_id_string(), "1.2.840.10045.3.1.7", "P-256");
    }

    #[test]
    fn two_new_cas_differ() {
        assert_ne!(authority(0).certificate(), authority(0).certificate());
    }

    #[test]
    fn pem_is_parsed_unchanged() {
        let issued = authority(0);
        let read = Authority::parse(issued.certificate_pem().as_bytes(), issued.key_pem().as_bytes()).unwrap();
        assert_eq!(read.certificate(), issued.certificate());
        let all = CaCertificate::all_from_pem(issued.certificate().to_pem().as_bytes());
        assert_eq!(all, [issued.certificate().clone()]);
    }

    #[test]
    fn keys_written_by_openssl_are_parsed() {
        let issued = authority(0);
        let read = Authority::parse(issued.certificate_pem().as_bytes(), sec1(&issued).as_bytes()).unwrap();
        assert_eq!(read.certificate(), issued.certificate(), "SEC 1");

        let (certificate, key) = (
            include_bytes!("fixtures/rsa-ca.crt"),
            include_bytes!("fixtures/rsa-ca.key"),
        );
        let rsa = Authority::parse(certificate, key).unwrap();
        let names = names().subject_alternative_names().unwrap();
        let now = rsa.certificate().validity().not_before;
        crate::leaf::Leaf::issue(&rsa, &names, now, &Policy::default()).expect("PKCS #1");
    }

    #[test]
    fn invalid_input_is_rejected_with_its_reason() {
        let (one, other) = (authority(0), authority(0));
        let parse =
            |certificate: &str, key: &str| Authority::parse(certificate.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(parse("", one.key_pem()), CertificateError::Certificate);
        assert_eq!(
            parse(
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                one.key_pem()
            ),
            CertificateError::Certificate
        );
        assert_eq!(parse(one.certificate_pem(), ""), CertificateError::Key);
        assert_eq!(
            parse(
                one.certificate_pem(),
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
            ),
            CertificateError::Key
        );
        assert_eq!(
            parse(one.certificate_pem(), other.key_pem()),
            CertificateError::Mismatch
        );
        let leaf = ca_with(|params| params.is_ca = IsCa::ExplicitNoCa);
        assert_eq!(leaf.unwrap_err(), CertificateError::NotAuthority);
        let signs_nothing = ca_with(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
        assert_eq!(signs_nothing.unwrap_err(), CertificateError::NotAuthority);
    }

    #[test]
    fn debug_shows_no_key() {
        let issued = authority(0);
        let shown = format!("{issued:?} {:?}", Authority::parse(b"", issued.key_pem().as_bytes()));
        let body = issued.key_pem().lines().nth(1).unwrap();
        assert!(!shown.contains("PRIVATE") && !shown.contains(body), "{shown}");
        assert!(shown.contains("Authority(CaCertificate("), "{shown}");
    }
}
