//! What manifests say of the world: the Secrets, Namespaces and ImageStreams that come with a change count as there.
//!
//! What they do not mention is not known: a cluster may have it all the same. Of a Secret, only the names of registries are
//! kept; one that is encrypted in the repository is left unknown.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_shared::api::annotations;
use cnbi_shared::facts::{Facts, Lookup, LookupResult, PullSecret, StreamOwner};
use serde_json::Value;

use super::kind;
use super::split;

/// Most values of one object that is looked at.
const BUDGET: usize = 1_000_000;

/// Facts out of manifests.
#[derive(Clone, Debug, Default)]
pub struct Known {
    answers: HashMap<Lookup, LookupResult>,
}

impl Known {
    /// Takes in every object of a text. `namespace` is that of objects that name none.
    pub fn add(&mut self, text: &str, namespace: &str) {
        for piece in split::pieces(text) {
            let (documents, _) = split::documents(&piece);
            for document in &documents {
                let mut items = piece.text.len();
                for (object, _) in kind::objects(document, &mut items) {
                    let is_fact = matches!(object.text("kind"), Some("Secret" | "Namespace" | "ImageStream"));
                    if is_fact && let Ok((object, _)) = object.expand(BUDGET) {
                        self.object(&object, namespace);
                    }
                }
            }
        }
    }

    /// Takes in one object.
    pub fn object(&mut self, object: &Value, namespace: &str) {
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let Some(name) = text(&object["metadata"]["name"]) else {
            return;
        };
        let namespace = text(&object["metadata"]["namespace"]).unwrap_or_else(|| namespace.to_owned());
        let group = object["apiVersion"].as_str().unwrap_or_default();
        let (need, answer) = match (object["kind"].as_str().unwrap_or_default(), group) {
            ("Namespace", "v1") => (Lookup::Namespace { name }, LookupResult::Yes),
            ("Secret", "v1") => {
                let Some(secret) = pull_secret(object) else { return };
                (Lookup::Secret { namespace, name }, LookupResult::Secret(secret))
            }
            ("ImageStream", group) if group.starts_with("image.openshift.io/") => {
                let mark = object["metadata"]["annotations"][annotations::OWNED_BY].as_str();
                let answer = LookupResult::ImageStream(StreamOwner::read(mark));
                (Lookup::ImageStream { namespace, name }, answer)
            }
            _ => return,
        };
        self.answers.insert(need, answer);
    }

    /// What is known of these needs, beside what is in `facts`.
    pub fn answer<'a>(&self, needs: impl IntoIterator<Item = &'a Lookup>, facts: &mut Facts) {
        for need in needs {
            if let Some(answer) = self.answers.get(need) {
                facts.insert(need.clone(), answer.clone());
            }
        }
    }

    /// Nothing is known.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }
}

/// What matters of a Secret; `None` where its content is not the one that the cluster will have.
pub fn pull_secret(object: &Value) -> Option<PullSecret> {
    // SOPS leaves its mark at the root and ciphertext in the data.
    if object.get("sops").is_some() {
        return None;
    }
    let secret_type = object["type"].as_str().unwrap_or("Opaque");
    let Some(key) = PullSecret::data_key(secret_type) else {
        return Some(PullSecret::read(secret_type, None));
    };
    // The API server lets `stringData` win.
    if let Some(text) = object["stringData"][key].as_str() {
        return Some(PullSecret::read(secret_type, Some(text.as_bytes())));
    }
    match object["data"].get(key) {
        None => Some(PullSecret::read(secret_type, None)),
        Some(data) => {
            let decoded = STANDARD.decode(data.as_str()?.replace(['\n', '\r'], "")).ok()?;
            Some(PullSecret::read(secret_type, Some(&decoded)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_with_a_change_is_there_and_the_rest_is_unknown() {
        let mut known = Known::default();
        known.add(
            "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: kubernetes.io/dockerconfigjson\n\
             stringData: {.dockerconfigjson: '{\"auths\":{\"quay.io\":{\"auth\":\"c2VjcmV0\"}}}'}\n---\n\
             apiVersion: v1\nkind: Secret\nmetadata: {name: sealed}\ntype: kubernetes.io/dockerconfigjson\n\
             data: {.dockerconfigjson: 'ENC[x]'}\nsops: {}\n---\n\
             apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Namespace, metadata: {name: odh}}]\n---\n\
             apiVersion: image.openshift.io/v1\nkind: ImageStream\nmetadata: {name: i, namespace: odh}\n",
            "team-a",
        );
        let need = |name: &str| Lookup::Secret {
            namespace: "team-a".into(),
            name: name.into(),
        };
        let mut facts = Facts::none();
        let stream = Lookup::ImageStream {
            namespace: "odh".into(),
            name: "i".into(),
        };
        let namespace = Lookup::Namespace { name: "odh".into() };
        known.answer(
            [&need("s"), &need("sealed"), &need("other"), &namespace, &stream],
            &mut facts,
        );
        let registries = PullSecret::Registries(vec!["quay.io".into()]);
        assert_eq!(facts.secret(&need("s")), cnbi_shared::facts::Fact::Known(&registries));
        assert_eq!(facts.secret(&need("sealed")), cnbi_shared::facts::Fact::Unknown);
        assert_eq!(facts.secret(&need("other")), cnbi_shared::facts::Fact::Unknown);
        assert_eq!(facts.holds(&namespace), Some(true));
        assert_eq!(
            facts.image_stream(&stream),
            cnbi_shared::facts::Fact::Known(&StreamOwner::Other)
        );
        assert!(!format!("{known:?}").contains("c2VjcmV0"));
    }
}
