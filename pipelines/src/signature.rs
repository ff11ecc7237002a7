//! Verifies that an image is signed with a trusted public key, in the two formats of cosign:
//!
//! * Simple signing (<https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>): the tag `sha256-<hex>.sig` in the same repository;
//!   each layer is a payload with the digest of the image, the signature is an annotation.
//! * Sigstore bundles: manifests that refer to the image, with a DSSE envelope around an in-toto statement.
//!
//! Uses ring. Certificates and transparency logs are ignored; only keys are trusted.

mod bundle;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_shared::config::SignaturePolicy;
use oci_client::Reference;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use x509_parser::prelude::{FromDer as _, SubjectPublicKeyInfo};

use self::bundle::{BundleResult, verify};
use crate::error::StepError;
use crate::registry::credentials::entries;
use crate::registry::image::Descriptor;
use crate::registry::{Registry, RegistryError};

/// Maximum number of signatures of each format that are verified.
const MAX_SIGNATURES: usize = 32;

const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";

/// Why an image is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The signatures cannot be read.
    #[error("{0}")]
    Registry(#[from] RegistryError),
    /// The image violates the signature policy.
    #[error("{0}")]
    Invalid(String),
}

/// A public key.
#[derive(Clone, Debug)]
pub struct Key {
    algorithms: Vec<&'static dyn VerificationAlgorithm>,
    key: Vec<u8>,
}

impl Key {
    /// Parses a SubjectPublicKeyInfo (RFC 5280, 4.1).
    fn of(der: &[u8]) -> Option<Self> {
        let (_, info) = SubjectPublicKeyInfo::from_der(der).ok()?;
        let curve = || {
            info.algorithm
                .parameters
                .as_ref()?
                .as_oid()
                .ok()
                .map(|oid| oid.to_id_string())
        };
        let algorithms: Vec<&'static dyn VerificationAlgorithm> = match info.algorithm.algorithm.to_id_string().as_str()
        {
            "1.2.840.10045.2.1" => match curve()?.as_str() {
                "1.2.840.10045.3.1.7" => vec![&ECDSA_P256_SHA256_ASN1],
                "1.3.132.0.34" => vec![&ECDSA_P384_SHA256_ASN1, &ECDSA_P384_SHA384_ASN1],
                _ => return None,
            },
            "1.2.840.113549.1.1.1" => vec![&RSA_PKCS1_2048_8192_SHA256, &RSA_PSS_2048_8192_SHA256],
            "1.3.101.112" => vec![&ED25519],
            _ => return None,
        };
        Some(Self {
            algorithms,
            key: info.subject_public_key.data.to_vec(),
        })
    }

    /// Ed25519 (RFC 8032, 5.1). cosign uses Ed25519ph, which ring does not support.
    fn is_ed25519(&self) -> bool {
        // Other keys are longer.
        self.key.len() == 32
    }

    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = |algorithm| UnparsedPublicKey::new(algorithm, &self.key);
        let mut algorithms = self.algorithms.iter();
        algorithms.any(|algorithm| key(*algorithm).verify(message, signature).is_ok())
    }
}

/// Reads all PEM public keys in a mounted Secret, such as one that `cosign generate-key-pair k8s://` creates.
pub fn keys(folder: &str) -> Result<Vec<Key>, StepError> {
    let mut keys = Vec::new();
    for (name, text) in entries(folder)? {
        for der in SubjectPublicKeyInfoDer::pem_slice_iter(&text) {
            let key = der.ok().and_then(|der| Key::of(&der));
            keys.push(key.ok_or_else(|| {
                StepError::other(format!(
                    "Entry {name:?} of signatures.keysSecret is not a supported public key: use ECDSA (P-256, P-384), RSA or Ed25519 in PEM"
                ))
            })?);
        }
    }
    Ok(keys)
}

/// Verifies the signatures of a digest in the repository of `reference`.
pub async fn check(
    registry: &Registry,
    reference: &Reference,
    digest: &str,
    policy: SignaturePolicy,
    keys: &[Key],
) -> Result<(), SignatureError> {
    if policy == SignaturePolicy::Off {
        return Ok(());
    }
    let invalid = |what: &str| Err(SignatureError::Invalid(what.to_owned()));
    if keys.is_empty() {
        return invalid("Signatures are required, but the Secret of signatures.keysSecret contains no public keys");
    }
    let mut count = 0;
    for (payload, signature) in simple_signatures(registry, reference, digest).await? {
        count += 1;
        if keys.iter().any(|key| key.has_signed(&payload, &signature)) && names(&payload, digest) {
            return Ok(());
        }
    }
    for bundle in bundles(registry, reference, digest).await? {
        match verify(&bundle, keys, digest) {
            BundleResult::Valid => return Ok(()),
            BundleResult::Invalid => count += 1,
            BundleResult::OtherStatement => {}
        }
    }
    match (count, policy) {
        (0, SignaturePolicy::Required) => invalid("The image is not signed, and signatures.policy is Required"),
        (0, _) => Ok(()),
        (_, _) if keys.iter().any(Key::is_ed25519) => invalid(
            "No signature of the image is valid for a key in signatures.keysSecret; cosign's Ed25519 signatures (Ed25519ph) are \
             not supported, use an ECDSA key",
        ),
        (_, _) => invalid("No signature of the image is valid for a key in signatures.keysSecret"),
    }
}

/// Payloads and signatures in the simple signing format.
async fn simple_signatures(
    registry: &Registry,
    reference: &Reference,
    digest: &str,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>, SignatureError> {
    let tag = format!("{}.sig", digest.replace(':', "-"));
    let at = Reference::with_tag(reference.registry().to_owned(), reference.repository().to_owned(), tag);
    let manifest = match registry.manifest(&at).await {
        Ok(fetched) => fetched.manifest,
        Err(RegistryError::NotFound(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    for layer in manifest
        .layers
        .iter()
        .filter(|layer| layer.media_type == SIMPLE_SIGNING)
        .take(MAX_SIGNATURES)
    {
        // An unreadable signature counts as invalid, not as missing.
        let signature = layer
            .annotations
            .get(SIGNATURE)
            .and_then(|text| STANDARD.decode(text).ok());
        let payload = registry.document(&at, layer).await?;
        found.push((payload, signature.unwrap_or_default()));
    }
    Ok(found)
}

/// Whether a payload refers to the image.
fn names(payload: &[u8], digest: &str) -> bool {
    #[derive(Deserialize)]
    struct Payload {
        critical: Critical,
    }
    #[derive(Deserialize)]
    struct Critical {
        image: Image,
        #[serde(rename = "type")]
        kind: String,
    }
    #[derive(Deserialize)]
    struct Image {
        #[serde(rename = "docker-manifest-digest")]
        digest: String,
    }
    serde_json::from_slice::<Payload>(payload).is_ok_and(|payload| {
        payload.critical.kind == "cosign container image signature" && payload.critical.image.digest == digest
    })
}

/// The bundles that refer to an image.
async fn bundles(registry: &Registry, reference: &Reference, digest: &str) -> Result<Vec<Vec<u8>>, SignatureError> {
    let mut found = Vec::new();
    for manifest in registry
        .referrers(reference, digest, BUNDLE)
        .await?
        .into_iter()
        .take(MAX_SIGNATURES)
    {
        let at = reference.clone_with_digest(manifest);
        let manifest = registry.manifest(&at).await?.manifest;
        let is_bundle = |layer: &&Descriptor| layer.media_type.starts_with(BUNDLE);
        if let Some(layer) = manifest.layers.iter().find(is_bundle) {
            found.push(registry.document(&at, layer).await?);
        }
    }
    Ok(found)
}
