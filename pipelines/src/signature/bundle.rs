//! Verifies Sigstore bundles that refer to an image.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Key, MAX_SIGNATURES};

const STATEMENT: &str = "application/vnd.in-toto+json";
/// Predicate type of signatures.
const SIGNATURE_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

/// Result for a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BundleResult {
    /// A valid signature.
    Valid,
    /// Another statement, such as an attestation: neither a signature nor invalid.
    OtherStatement,
    /// Invalid.
    Invalid,
}

/// Verifies a bundle for the image's digest.
pub(super) fn verify(bundle: &[u8], keys: &[Key], digest: &str) -> BundleResult {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        dsse_envelope: Envelope,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Envelope {
        payload: String,
        payload_type: String,
        signatures: Vec<Signature>,
    }
    #[derive(Deserialize)]
    struct Signature {
        sig: String,
    }
    let Ok(Document {
        dsse_envelope: envelope,
    }) = serde_json::from_slice(bundle)
    else {
        return BundleResult::Invalid;
    };
    let Ok(payload) = STANDARD.decode(&envelope.payload) else {
        return BundleResult::Invalid;
    };
    let Ok(statement) = serde_json::from_slice::<Statement>(&payload) else {
        return BundleResult::Invalid;
    };
    if statement.predicate_type != SIGNATURE_PREDICATE {
        return BundleResult::OtherStatement;
    }
    let message = pre_authentication(&envelope.payload_type, &payload);
    let signatures = envelope.signatures.iter().take(MAX_SIGNATURES);
    let mut signatures = signatures.filter_map(|signature| STANDARD.decode(&signature.sig).ok());
    let is_signed = envelope.payload_type == STATEMENT
        && statement.is_about(digest)
        && signatures.any(|signature| keys.iter().any(|key| key.has_signed(&message, &signature)));
    if is_signed {
        BundleResult::Valid
    } else {
        BundleResult::Invalid
    }
}

/// The message that a DSSE signature signs (<https://github.com/secure-systems-lab/dsse/blob/master/protocol.md>).
fn pre_authentication(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

/// An in-toto statement (<https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    predicate_type: String,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    digest: BTreeMap<String, String>,
}

impl Statement {
    fn is_about(&self, digest: &str) -> bool {
        let (algorithm, hex) = digest.split_once(':').unwrap_or_default();
        let mut subjects = self.subject.iter();
        subjects.any(|subject| subject.digest.get(algorithm).is_some_and(|value| value == hex))
    }
}
