//! The CA Secret: its layout, and reading and writing it.
//!
//! | key | holds |
//! |---|---|
//! | `tls.crt`, `tls.key` | the CA that signs. What a person puts here is used |
//! | `next.crt`, `next.key` | the CA that will follow; trusted already, signs nothing yet |
//! | `previous.crt` | the CAs that signed before and are trusted still, the latest first. Their keys are gone |
//!
//! Because the layout says which CA is at which point of its life, a replica that starts in the middle of a rotation goes
//! on where the others are. Every write is based on the version that was read; whoever comes second is told so and
//! looks again. What is to be written is decided elsewhere.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use zeroize::Zeroize;

use crate::authority::{Authority, CaCertificate, Unusable};
use crate::deadline::in_time;
use crate::keeper::Failure;
use crate::names::Names;
use crate::rotation::CaSecret;
use crate::succession::Succession;

const CURRENT: (&str, &str) = ("tls.crt", "tls.key");
const NEXT: (&str, &str) = ("next.crt", "next.key");
const PREVIOUS: &str = "previous.crt";

pub(crate) type Data = BTreeMap<String, ByteString>;

/// A Secret as read: what it says, and what a write has to be based on.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) state: CaSecret,
    /// None when the Secret is absent. Without its data.
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

    pub(crate) async fn read(&self) -> Result<Stored, Failure> {
        Ok(match in_time(self.api.get_opt(&self.name)).await? {
            None => Stored {
                state: CaSecret::Absent,
                basis: None,
            },
            Some(mut secret) => {
                let mut data = secret.data.take().unwrap_or_default();
                let state = decode(&data).map_or_else(CaSecret::Unusable, CaSecret::Usable);
                wipe(&mut data);
                Stored {
                    state,
                    basis: Some(secret),
                }
            }
        })
    }

    /// Creates the Secret; a conflict when somebody else has.
    pub(crate) async fn create(&self, succession: &Succession) -> Result<(), Failure> {
        let mut secret = Secret {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(encode(succession)),
            ..Secret::default()
        };
        let written = in_time(self.api.create(&PostParams::default(), &secret)).await;
        done(&mut secret, written)
    }

    /// Writes the Secret over what was read as `basis`; a conflict when it has changed since. Labels and annotations
    /// stay as they are.
    pub(crate) async fn update(&self, basis: &Secret, succession: &Succession) -> Result<(), Failure> {
        let mut secret = basis.clone();
        secret.data = Some(encode(succession));
        let written = in_time(self.api.replace(&self.name, &PostParams::default(), &secret)).await;
        done(&mut secret, written)
    }
}

fn done(sent: &mut Secret, written: Result<Secret, Failure>) -> Result<(), Failure> {
    sent.data.iter_mut().for_each(wipe);
    written?.data.iter_mut().for_each(wipe);
    Ok(())
}

fn wipe(data: &mut Data) {
    for value in data.values_mut() {
        value.0.zeroize();
    }
}

/// The Secret's data for these CAs.
pub(crate) fn encode(succession: &Succession) -> Data {
    let Succession {
        current,
        next,
        previous,
    } = succession;
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

/// The CAs of a Secret's data. Without a usable current CA it is unusable as a whole; what else cannot be read counts
/// as not there, because a rotation can begin anew and does no harm by it.
pub(crate) fn decode(data: &Data) -> Result<Succession, Unusable> {
    let pair = |(certificate, key): (&'static str, &'static str)| {
        let get = |name: &'static str| data.get(name).ok_or(Unusable::Missing(name));
        Authority::parse(&get(certificate)?.0, &get(key)?.0)
    };
    let mut succession = Succession::new(pair(CURRENT)?, None);
    succession.next = pair(NEXT).ok().filter(|next| !succession.knows(next.certificate()));
    for authority in data
        .get(PREVIOUS)
        .map(|pem| CaCertificate::all_from_pem(&pem.0))
        .unwrap_or_default()
    {
        succession = succession.remembering(authority);
    }
    Ok(succession)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{after, authority};

    fn text(data: &Data, key: &str) -> String {
        String::from_utf8(data[key].0.clone()).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let [a, b, c] = [0, 1, 2].map(authority);
        let held = Succession::new(a.clone(), Some(c.certificate().clone())).with_next(b.clone());
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
    fn the_order_of_the_previous_is_kept() {
        let [a, b, c] = [2, 1, 0].map(authority);
        let previous = [b, c].map(|authority| authority.certificate().clone());
        let held = Succession {
            previous: previous.to_vec(),
            ..Succession::new(a, None)
        };
        assert_eq!(decode(&encode(&held)).unwrap().previous, previous);
    }

    #[test]
    fn a_replaced_ca_leaves_no_key_behind() {
        let [a, b] = [0, 1].map(authority);
        let data = encode(&Succession::new(a.clone(), None).with_next(b).promoted());
        assert_eq!(data.keys().collect::<Vec<_>>(), ["previous.crt", "tls.crt", "tls.key"]);
        assert!(
            data.keys()
                .all(|key| !text(&data, key).contains(a.key_pem().lines().nth(1).unwrap()))
        );
    }

    #[test]
    fn without_a_usable_current_nothing_is() {
        let good = encode(&Succession::new(authority(0), None));
        let without = |key: &str| {
            let mut data = good.clone();
            data.remove(key);
            decode(&data).unwrap_err()
        };
        assert_eq!(decode(&Data::new()).unwrap_err(), Unusable::Missing("tls.crt"));
        assert_eq!(without("tls.crt"), Unusable::Missing("tls.crt"));
        assert_eq!(without("tls.key"), Unusable::Missing("tls.key"));
        let mut swapped = good.clone();
        swapped.insert(
            "tls.key".to_owned(),
            encode(&Succession::new(authority(0), None))["tls.key"].clone(),
        );
        assert_eq!(decode(&swapped).unwrap_err(), Unusable::Mismatch);
    }

    #[test]
    fn what_else_cannot_be_read_counts_as_not_there() {
        let [a, b] = [0, 1].map(authority);
        let mut data = encode(&Succession::new(a.clone(), None).with_next(b));
        data.insert("next.key".to_owned(), ByteString(b"nonsense".to_vec()));
        data.insert("previous.crt".to_owned(), ByteString(vec![0xff; 40]));
        let read = decode(&data).unwrap();
        assert!(read.next.is_none());
        assert_eq!(read.previous, []);
        data = encode(&Succession::new(a.clone(), None).with_next(a));
        assert!(decode(&data).unwrap().next.is_none(), "a CA does not follow itself");
    }

    #[test]
    fn too_many_previous_do_not_make_the_bundle_grow() {
        let mut data = encode(&Succession::new(authority(0), None));
        let many: String = (0..6).map(|n| authority(n).certificate().to_pem()).collect();
        data.insert("previous.crt".to_owned(), ByteString(many.into_bytes()));
        assert_eq!(
            decode(&data).unwrap().bundle(after(9)).certificates().len(),
            crate::succession::MOST_TRUSTED
        );
    }

    #[test]
    fn wiping_leaves_nothing() {
        let mut data = encode(&Succession::new(authority(0), None));
        wipe(&mut data);
        assert!(data.values().all(|value| value.0.is_empty()));
    }
}
