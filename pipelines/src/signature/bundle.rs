//! Sigstore bundles that refer to an image: which are signatures of it, and which state something else.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Key, MOST};

const STATEMENT: &str = "application/vnd.in-toto+json";
/// The predicate of a statement that is a signature.
const SIGNS: &str = "https://sigstore.dev/cosign/sign/v1";

/// What a bundle is to an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// One of the keys says in it that the image is signed.
    Signs,
    /// It states something else of it, as an attestation does: no signature, and none that is invalid.
    StatesElse,
    /// It is neither.
    Invalid,
}

/// Judges one, by the image's digest.
pub(super) fn judge(bundle: &[u8], keys: &[Key], digest: &str) -> Judged {
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
        return Judged::Invalid;
    };
    let Ok(payload) = STANDARD.decode(&envelope.payload) else {
        return Judged::Invalid;
    };
    let Ok(statement) = serde_json::from_slice::<Statement>(&payload) else {
        return Judged::Invalid;
    };
    if statement.predicate_type != SIGNS {
        return Judged::StatesElse;
    }
    let message = pre_authentication(&envelope.payload_type, &payload);
    let signatures = envelope.signatures.iter().take(MOST);
    let mut signatures = signatures.filter_map(|signature| STANDARD.decode(&signature.sig).ok());
    let is_signed = envelope.payload_type == STATEMENT
        && statement.is_about(digest)
        && signatures.any(|signature| keys.iter().any(|key| key.has_signed(&message, &signature)));
    if is_signed { Judged::Signs } else { Judged::Invalid }
}

/// What a DSSE signature is over (<https://github.com/secure-systems-lab/dsse/blob/master/protocol.md>).
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
