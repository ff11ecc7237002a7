//! Names, labels and annotations of the objects of a resource. Names are deterministic, so creating an object twice is
//! idempotent.

use std::collections::BTreeMap;

use cnbi_shared::grammar::dns::LABEL_MAX;
use ring::digest::{SHA256, digest};

use crate::plan::observed::ObservedState;

/// Label of all objects of a resource: its uid.
pub const UID: &str = "meteor.zone/uid";
/// Label: namespace of the resource.
pub const NAMESPACE: &str = "meteor.zone/namespace";
/// Label of a run: the generation that it builds.
pub const GENERATION: &str = "meteor.zone/generation";
/// Label of a run: its number within the generation, from 1.
pub const ATTEMPT: &str = "meteor.zone/attempt";
/// Annotation of a run: its number since the last change of the spec or of [`RETRY`], from 1.
pub const TRIES: &str = "meteor.zone/tries";
/// Annotation of a resource: a new value requests a retry. Copied to the run.
pub const RETRY: &str = "meteor.zone/retry";
/// Annotation of an update run: the new digest of the tracked tag.
pub const UPSTREAM: &str = "meteor.zone/upstream-digest";
/// Annotation of an ended run: its volume was deleted.
pub const VOLUME_DELETED: &str = "meteor.zone/volume-deleted";
/// Value of [`VOLUME_DELETED`]: one pod is kept for its log; the volume is deleted with it.
pub const POD_KEPT: &str = "pod-kept";
/// Label of a run's volume: the name of the run.
pub const RUN: &str = "meteor.zone/run";

/// Hexadecimal digits of the hash in a name.
const HASH: usize = 12;

/// The name of a run. `upstream` is the digest of an update run, otherwise empty.
pub fn run_name(name: &str, uid: &str, generation: i64, upstream: &str, attempt: u32) -> String {
    let generation = generation.to_string();
    let attempt = attempt.to_string();
    named(name, &[uid, &generation, upstream, &attempt])
}

/// The name of the copy of the pull secret in the target namespace.
pub fn target_copy_name(name: &str, uid: &str) -> String {
    named(name, &[uid, "pull"])
}

/// The name of the copy of the pull secret for a run.
pub fn run_copy_name(run: &str) -> String {
    format!("{run}-pull")
}

fn named(name: &str, parts: &[&str]) -> String {
    let hash = hash(parts);
    let room = LABEL_MAX - 1 - hash.len();
    let kept: String = name
        .chars()
        .take(room)
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                '-'
            }
        })
        .collect();
    match kept.trim_matches('-') {
        "" => format!("cnbi-{hash}"),
        kept => format!("{kept}-{hash}"),
    }
}

fn hash(parts: &[&str]) -> String {
    let mut text = Vec::new();
    for part in parts {
        // The length prefix makes the encoding unambiguous.
        text.extend_from_slice(&part.len().to_be_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    hex::encode(&digest(&SHA256, &text).as_ref()[..HASH / 2])
}

/// The labels of all objects of a resource.
pub fn labels(observed: &ObservedState) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "cnbi"),
        ("app.kubernetes.io/component", "build"),
        ("app.kubernetes.io/managed-by", "cnbi-controller"),
        (NAMESPACE, &observed.namespace),
        (UID, &observed.uid),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

#[cfg(test)]
mod tests {
    use cnbi_shared::grammar::dns;

    use super::*;

    #[test]
    fn names_are_valid_and_unique() {
        let long = "a.".repeat(126) + "b";
        let mut names = std::collections::BTreeSet::new();
        for name in ["x", "a.b", &long] {
            for uid in ["1", "2"] {
                for generation in [1, 11] {
                    for attempt in [1, 2] {
                        for upstream in ["", "sha256:1"] {
                            let name = run_name(name, uid, generation, upstream, attempt);
                            assert_eq!(dns::validate_label(&name), Ok(()), "{name}");
                            assert!(names.insert(name));
                        }
                    }
                }
            }
        }
        assert_eq!(run_name("x", "1", 1, "", 1), run_name("x", "1", 1, "", 1));
        assert_ne!(hash(&["1", "11"]), hash(&["11", "1"]));
        assert_ne!(hash(&["1", "11"]), hash(&["11", "1"]));
        assert_eq!(dns::validate_label(&run_name("...", "1", 1, "", 1)), Ok(()));
    }
}
