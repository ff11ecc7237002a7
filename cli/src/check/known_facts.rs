//! Facts about the cluster, from manifests of Secrets, Namespaces and ImageStreams (`--facts`) or from the API server.
//!
//! Objects without a manifest are unknown, not absent, because the cluster may have them. Only registry names are kept of a
//! Secret. Encrypted Secrets (SOPS) are unknown.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_shared::api::annotations;
use cnbi_shared::facts::{Facts, Lookup, LookupResult, PullSecret, StreamOwner};
use serde_json::Value;

use super::kind;
use super::split;

/// Maximum number of values of an object.
const BUDGET: usize = 1_000_000;

/// Facts by lookup.
#[derive(Clone, Debug, Default)]
pub struct KnownFacts {
    results: HashMap<Lookup, LookupResult>,
}

impl KnownFacts {
    /// Adds all objects of a text. `namespace` is the default namespace.
    pub fn add(&mut self, text: &str, namespace: &str) {
        for piece in split::pieces(text) {
            let (documents, _) = split::documents(&piece);
            for document in &documents {
                let mut items = piece.text.len();
                for (object, _) in kind::objects(document, &mut items) {
                    let is_fact = matches!(object.text("kind"), Some("Secret" | "Namespace" | "ImageStream"));
                    if is_fact && let Ok((object, _)) = object.expand(BUDGET) {
                        self.add_object(&object, namespace);
                    }
                }
            }
        }
    }

    /// Adds one object.
    fn add_object(&mut self, object: &Value, namespace: &str) {
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let Some(name) = text(&object["metadata"]["name"]) else {
            return;
        };
        let namespace = text(&object["metadata"]["namespace"]).unwrap_or_else(|| namespace.to_owned());
        let group = object["apiVersion"].as_str().unwrap_or_default();
        let (lookup, result) = match (object["kind"].as_str().unwrap_or_default(), group) {
            ("Namespace", "v1") => (Lookup::Namespace { name }, LookupResult::Yes),
            ("Secret", "v1") => {
                let Some(secret) = pull_secret(object) else { return };
                (Lookup::Secret { namespace, name }, LookupResult::Secret(secret))
            }
            ("ImageStream", group) if group.starts_with("image.openshift.io/") => {
                let mark = object["metadata"]["annotations"][annotations::OWNED_BY].as_str();
                let result = LookupResult::ImageStream(StreamOwner::from_annotation(mark));
                (Lookup::ImageStream { namespace, name }, result)
            }
            _ => return,
        };
        self.results.insert(lookup, result);
    }

    /// Adds one fact.
    pub fn insert(&mut self, lookup: Lookup, result: LookupResult) {
        self.results.insert(lookup, result);
    }

    /// Copies the known facts of these lookups. Returns whether there was any.
    pub fn insert_into<'a>(&self, facts: &mut Facts, lookups: impl IntoIterator<Item = &'a Lookup>) -> bool {
        let mut is_any = false;
        for lookup in lookups {
            if let Some(result) = self.results.get(lookup) {
                facts.insert(lookup.clone(), result.clone());
                is_any = true;
            }
        }
        is_any
    }
}

/// The registries of a pull secret. `None` for an encrypted Secret, whose content in the cluster is unknown.
pub fn pull_secret(object: &Value) -> Option<PullSecret> {
    // SOPS adds this key and encrypts the data.
    if object.get("sops").is_some() {
        return None;
    }
    let secret_type = object["type"].as_str().unwrap_or("Opaque");
    let Some(key) = PullSecret::data_key(secret_type) else {
        return Some(PullSecret::parse(secret_type, None));
    };
    // `stringData` overrides `data`.
    if let Some(text) = object["stringData"][key].as_str() {
        return Some(PullSecret::parse(secret_type, Some(text.as_bytes())));
    }
    match object["data"].get(key) {
        None => Some(PullSecret::parse(secret_type, None)),
        Some(data) => {
            let decoded = STANDARD.decode(data.as_str()?.replace(['\n', '\r'], "")).ok()?;
            Some(PullSecret::parse(secret_type, Some(&decoded)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_with_a_manifest_are_known_and_others_unknown() {
        let mut known = KnownFacts::default();
        known.add(
            "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: kubernetes.io/dockerconfigjson\n\
             stringData: {.dockerconfigjson: '{\"auths\":{\"quay.io\":{\"auth\":\"c2VjcmV0\"}}}'}\n---\n\
             apiVersion: v1\nkind: Secret\nmetadata: {name: sealed}\ntype: kubernetes.io/dockerconfigjson\n\
             data: {.dockerconfigjson: 'ENC[x]'}\nsops: {}\n---\n\
             apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Namespace, metadata: {name: odh}}]\n---\n\
             apiVersion: image.openshift.io/v1\nkind: ImageStream\nmetadata: {name: i, namespace: odh}\n",
            "team-a",
        );
        let lookup = |name: &str| Lookup::Secret {
            namespace: "team-a".into(),
            name: name.into(),
        };
        let mut facts = Facts::none();
        let stream = Lookup::ImageStream {
            namespace: "odh".into(),
            name: "i".into(),
        };
        let namespace = Lookup::Namespace { name: "odh".into() };
        known.insert_into(
            &mut facts,
            [&lookup("s"), &lookup("sealed"), &lookup("other"), &namespace, &stream],
        );
        let registries = PullSecret::Registries(vec!["quay.io".into()]);
        assert_eq!(facts.secret(&lookup("s")), cnbi_shared::facts::Fact::Known(&registries));
        assert_eq!(facts.secret(&lookup("sealed")), cnbi_shared::facts::Fact::Unknown);
        assert_eq!(facts.secret(&lookup("other")), cnbi_shared::facts::Fact::Unknown);
        assert_eq!(facts.is_confirmed(&namespace), Some(true));
        assert_eq!(
            facts.image_stream(&stream),
            cnbi_shared::facts::Fact::Known(&StreamOwner::Unmanaged)
        );
        assert!(!format!("{known:?}").contains("c2VjcmV0"));
    }
}
