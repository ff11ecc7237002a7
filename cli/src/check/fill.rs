//! Defaults written into the text of manifests, as admission would fill them in; comments and order stay.

use cnbi_shared::admission_input::AdmissionInput;
use cnbi_shared::api::{UnvalidatedImage, annotations};
use cnbi_shared::config::Config;
use cnbi_shared::defaults::Defaults;
use cnbi_shared::path::FieldId;
use cnbi_shared::verdict::escaped;

use super::edit::{Edit, Index, apply};
use super::judge::assume_namespace;
use super::node::{Data, Node};
use super::{Settings, kind, split};

/// What came of filling in defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// The text.
    pub text: String,
    /// Resources of ours in it.
    pub resources: usize,
    /// Where something could not be filled in, and why.
    pub notes: Vec<String>,
}

/// Fills in what is missing in every resource of ours. Without a policy, the target namespace stays open; `creator` is who
/// asks for the images, where that is known.
pub fn fill(settings: &Settings, file: &str, text: &str, creator: Option<&str>) -> Filled {
    let index = Index::of(text);
    let mut filled = Filled::default();
    let mut edits = Vec::new();
    for piece in split::pieces(text) {
        let (documents, broken) = split::documents(&piece);
        for document in &documents {
            let mut items = piece.text.len();
            for (object, is_ours) in kind::objects(document, &mut items) {
                if is_ours {
                    filled.resources += 1;
                    let place = format!("{file}:{}", object.place.line);
                    match edits_of(settings, &index, object, piece.text.len(), creator) {
                        Ok(more) => edits.extend(more),
                        Err(why) => filled.notes.push(format!("{place}: {why}")),
                    }
                }
            }
        }
        if let Some(broken) = broken {
            let why = format!("{file}:{}: cannot be read: {}", broken.place.line, broken.message);
            filled.notes.push(escaped(&why, usize::MAX));
        }
    }
    filled.text = apply(text, edits);
    filled
}

fn edits_of(
    settings: &Settings,
    index: &Index,
    object: &Node,
    length: usize,
    creator: Option<&str>,
) -> Result<Vec<Edit>, &'static str> {
    let unreadable = "cannot be read; kubectl cnbi check says more";
    let (value, _) = object.expand(10 * length + 1000).map_err(|_| unreadable)?;
    let mut draft = serde_json::from_value::<UnvalidatedImage>(value).map_err(|_| unreadable)?;
    assume_namespace(&mut draft, &settings.namespace);
    let nothing = Config::default();
    let config = settings.config.as_ref();
    let Defaults {
        target_namespace,
        display_name,
        creator,
    } = Defaults::of(&AdmissionInput::create(&draft), config.unwrap_or(&nothing), creator);
    let target_namespace = target_namespace.filter(|_| config.is_some());
    let mut edits = Vec::new();
    let find = |at: FieldId| object.find(&at.whole());
    if let (Some(target), Some(spec)) = (target_namespace, find(FieldId::Spec)) {
        edits.push(index.insert(spec.place, None, &[("targetNamespace", &target)]));
    }
    let told = [
        (annotations::DISPLAY_NAME, display_name),
        (annotations::CREATOR, creator),
    ];
    let told: Vec<(&str, &str)> = told
        .iter()
        .filter_map(|(key, text)| Some((*key, text.as_deref()?)))
        .collect();
    if !told.is_empty() {
        edits.push(match (find(FieldId::Annotations), find(FieldId::Metadata)) {
            (Some(annotations), _) if matches!(&*annotations.data, Data::Object(_)) => {
                index.insert(annotations.place, None, &told)
            }
            (None, Some(metadata)) => index.insert(metadata.place, Some("annotations"), &told),
            _ => None,
        });
    }
    let edits: Option<Vec<Edit>> = edits.into_iter().collect();
    edits.ok_or(
        "has nothing that a default can be added to: an alias, or a key with nothing behind it; write it by hand",
    )
}
