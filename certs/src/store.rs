//! Reads and writes the CA Secret.
//!
//! | key | content |
//! |---|---|
//! | `tls.crt`, `tls.key` | the current CA; an admin can replace it |
//! | `next.crt`, `next.key` | the next CA: already trusted, signs nothing yet |
//! | `previous.crt` | previous CAs that are still trusted, latest first, without keys |
//!
//! The Secret contains the whole state of a rotation, so a replica that starts during a rotation continues it. Every write
//! is based on the version that was read; a conflict leads to another reconciliation.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use zeroize::Zeroize;

use crate::authority::{Authority, CaCertificate, CertificateError};
use crate::ca_set::CaSet;
use crate::deadline::in_time;
use crate::names::Names;
use crate::rotation::CaSecret;
use crate::rotator::RotationError;

const CURRENT: (&str, &str) = ("tls.crt", "tls.key");
const NEXT: (&str, &str) = ("next.crt", "next.key");
const PREVIOUS: &str = "previous.crt";

pub(crate) type Data = BTreeMap<String, ByteString>;

/// The Secret as it was read.
#[derive(Debug, Clone)]
pub(crate) struct StoredSecret {
    pub(crate) state: CaSecret,
    /// The object (without its data) that a write is based on. `None` if it does not exist.
    pub(crate) basis: Option<Secret>,
}

/// Reads and writes the Secret of one installation.
#[derive(Clone)]
pub(crate) struct Store {
    api: Api<Secret>,
    name: String,
}

impl Store {
    pub(crate) fn new(client: Client, names: &Names) -> Self {
        Self {
            api: Api::namespaced(client, &names.namespace),
            name: names.secret.clone(),
        }
    }

    pub(crate) async fn read(&self) -> Result<StoredSecret, RotationError> {
        Ok(match in_time(self.api.get_opt(&self.name)).await? {
            None => StoredSecret {
                state: CaSecret::Absent,
                basis: None,
            },
            Some(mut secret) => {
                let mut data = secret.data.take().unwrap_or_default();
                let state = decode(&data).map_or_else(CaSecret::Invalid, CaSecret::Usable);
                wipe(&mut data);
                StoredSecret {
                    state,
                    basis: Some(secret),
                }
            }
        })
    }

    /// Creates the Secret. Returns a conflict if it exists.
    pub(crate) async fn create(&self, ca_set: &CaSet) -> Result<(), RotationError> {
        let mut secret = Secret {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(encode(ca_set)),
            ..Secret::default()
        };
        let written = in_time(self.api.create(&PostParams::default(), &secret)).await;
        done(&mut secret, written)
    }

    /// Updates the Secret that was read as `basis`. Returns a conflict if it has changed since. Labels and annotations are
    /// kept.
    pub(crate) async fn update(&self, basis: &Secret, ca_set: &CaSet) -> Result<(), RotationError> {
        let mut secret = basis.clone();
        secret.data = Some(encode(ca_set));
        let written = in_time(self.api.replace(&self.name, &PostParams::default(), &secret)).await;
        done(&mut secret, written)
    }
}

fn done(sent: &mut Secret, written: Result<Secret, RotationError>) -> Result<(), RotationError> {
    sent.data.iter_mut().for_each(wipe);
    written?.data.iter_mut().for_each(wipe);
    Ok(())
}

fn wipe(data: &mut Data) {
    for value in data.values_mut() {
        value.0.zeroize();
    }
}

/// Encodes the CAs as the Secret's data.
pub(crate) fn encode(ca_set: &CaSet) -> Data {
    let CaSet {
        current,
        next,
        previous,
    } = ca_set;
    let mut data = Data::new();
    let mut put = |key: &str, text: &str| data.insert(key.to_owned(), ByteString(text.as_bytes().to_vec()));
    put(CURRENT.0, current.certificate_pem());
    put(CURRENT.1, current.key_pem());
    if let Some(next) = next {
        put(NEXT.0, next.certificate_pem());
        put(NEXT.1, next.key_pem());
    }
    if !previous.is_empty() {
        put(
            PREVIOUS,
            &previous.iter().map(CaCertificate::to_pem).collect::<String>(),
        );
    }
    data
}

/// Decodes the CAs from the Secret's data. Returns an error if the current CA is invalid; an invalid next or previous CA is
/// ignored, because the rotation issues the next CA again.
pub(crate) fn decode(data: &Data) -> Result<CaSet, CertificateError> {
    let pair = |(certificate, key): (&'static str, &'static str)| {
        let get = |name: &'static str| data.get(name).ok_or(CertificateError::Missing(name));
        Authority::parse(&get(certificate)?.0, &get(key)?.0)
    };
    let mut ca_set = CaSet::new(pair(CURRENT)?, None);
    ca_set.next = pair(NEXT).ok().filter(|next| !ca_set.contains(next.certificate()));
    for authority in data
        .get(PREVIOUS)
        .map(|pem| CaCertificate::all_from_pem(&pem.0))
        .unwrap_or_default()
    {
        ca_set = ca_set.with_trusted(authority);
    }
    Ok(ca_set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{after, authority};

    fn text(data: &Data, key: &str) -> String {
        String::from_utf8(data[key].0.clone()).unwrap()
    }

    #[test]
    fn encoded_cas_are_decoded_unchanged() {
        let [a, b, c] = [0, 1, 2].map(authority);
        let held = CaSet::new(a.clone(), Some(c.certificate().clone())).with_next(b.clone());
        let data = encode(&held);
        assert_eq!(
            data.keys().collect::<Vec<_>>(),
            ["next.crt", "next.key", "previous.crt", "tls.crt", "tls.key"]
        );
        let read = decode(&data).unwrap();
        assert_eq!(read.current.certificate(), a.certificate());
        assert_eq!(read.current.key_pem(), a.key_pem());
        assert_eq!(read.next.as_ref().unwrap().key_pem(), b.key_pem());
        assert_eq!(read.previous, held.previous);
        assert_eq!(read.bundle(after(2)).to_pem(), held.bundle(after(2)).to_pem());
    }

    #[test]
    fn the_order_of_previous_cas_is_kept() {
        let [a, b, c] = [2, 1, 0].map(authority);
        let previous = [b, c].map(|authority| authority.certificate().clone());
        let held = CaSet {
            previous: previous.to_vec(),
            ..CaSet::new(a, None)
        };
        assert_eq!(decode(&encode(&held)).unwrap().previous, previous);
    }

    #[test]
    fn a_replaced_ca_leaves_no_key_behind() {
        let [a, b] = [0, 1].map(authority);
        let data = encode(&CaSet::new(a.clone(), None).with_next(b).promoted());
        assert_eq!(data.keys().collect::<Vec<_>>(), ["previous.crt", "tls.crt", "tls.key"]);
        assert!(
            data.keys()
                .all(|key| !text(&data, key).contains(a.key_pem().lines().nth(1).unwrap()))
        );
    }

    #[test]
    fn an_invalid_current_ca_is_an_error() {
        let good = encode(&CaSet::new(authority(0), None));
        let without = |key: &str| {
            let mut data = good.clone();
            data.remove(key);
            decode(&data).unwrap_err()
        };
        assert_eq!(decode(&Data::new()).unwrap_err(), CertificateError::Missing("tls.crt"));
        assert_eq!(without("tls.crt"), CertificateError::Missing("tls.crt"));
        assert_eq!(without("tls.key"), CertificateError::Missing("tls.key"));
        let mut swapped = good.clone();
        swapped.insert(
            "tls.key".to_owned(),
            encode(&CaSet::new(authority(0), None))["tls.key"].clone(),
        );
        assert_eq!(decode(&swapped).unwrap_err(), CertificateError::Mismatch);
    }

    #[test]
    fn invalid_next_and_previous_cas_are_ignored() {
        let [a, b] = [0, 1].map(authority);
        let mut data = encode(&CaSet::new(a.clone(), None).with_next(b));
        data.insert("next.key".to_owned(), ByteString(b"nonsense".to_vec()));
        data.insert("previous.crt".to_owned(), ByteString(vec![0xff; 40]));
        let read = decode(&data).unwrap();
        assert!(read.next.is_none());
        assert_eq!(read.previous, []);
        data = encode(&CaSet::new(a.clone(), None).with_next(a));
        assert!(decode(&data).unwrap().next.is_none(), "a CA does not follow itself");
    }

    #[test]
    fn the_number_of_previous_cas_is_limited() {
        let mut data = encode(&CaSet::new(authority(0), None));
        let many: String = (0..6).map(|n| authority(n).certificate().to_pem()).collect();
        data.insert("previous.crt".to_owned(), ByteString(many.into_bytes()));
        assert_eq!(
            decode(&data).unwrap().bundle(after(9)).certificates().len(),
            crate::ca_set::MAX_TRUSTED
        );
    }

    #[test]
    fn wiping_clears_every_value() {
        let mut data = encode(&CaSet::new(authority(0), None));
        wipe(&mut data);
        assert!(data.values().all(|value| value.0.is_empty()));
    }
}
