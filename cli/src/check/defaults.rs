//! Adds the defaults of the webhook to the text of manifests. Comments and order are kept.

use cnbi_shared::admission_input::AdmissionInput;
use cnbi_shared::api::{Field, Metadata, UnvalidatedImage, annotations};
use cnbi_shared::config::Config;
use cnbi_shared::defaults::Defaults;
use cnbi_shared::path::FieldId;
use cnbi_shared::verdict::escaped;

use super::edit::{Edit, Index, apply};
use super::node::{Data, Node};
use super::{Settings, kind, split};

/// A text with defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaulted {
    /// The text.
    pub text: String,
    /// Number of CustomNBImages.
    pub resources: usize,
    /// Where and why defaults could not be added.
    pub notes: Vec<String>,
}

/// The defaults of an object. Without a configuration, the default target namespace is unknown.
pub fn defaults_of(image: &UnvalidatedImage, config: Option<&Config>, creator: Option<&str>) -> Defaults {
    let input = AdmissionInput::create(image);
    match config {
        Some(config) => Defaults::of(&input, config, creator),
        None => Defaults {
            target_namespace: None,
            ..Defaults::of(&input, &Config::default(), creator)
        },
    }
}

/// Sets the namespace of a resource without one.
pub fn assume_namespace(image: &mut UnvalidatedImage, namespace: &str) {
    if image.metadata.is_absent() {
        image.metadata = Field::Set(Metadata::default());
    }
    if let Field::Set(metadata) = &mut image.metadata
        && (metadata.namespace.is_absent() || metadata.namespace.text() == Some(""))
    {
        metadata.namespace = Field::Set(namespace.to_owned());
    }
}

/// Adds defaults to every CustomNBImage in a text. `creator` is the value of the creator annotation.
pub fn apply_defaults(settings: &Settings, file: &str, text: &str, creator: Option<&str>) -> Defaulted {
    let index = Index::of(text);
    let mut defaulted = Defaulted::default();
    let mut edits = Vec::new();
    for piece in split::pieces(text) {
        let (documents, syntax_error) = split::documents(&piece);
        for document in &documents {
            let mut items = piece.text.len();
            for (object, is_ours) in kind::objects(document, &mut items) {
                if is_ours {
                    defaulted.resources += 1;
                    let location = format!("{file}:{}", object.position.line);
                    match edits_of(settings, &index, object, piece.text.len(), creator) {
                        Ok(more) => edits.extend(more),
                        Err(why) => defaulted.notes.push(format!("{location}: {why}")),
                    }
                }
            }
        }
        if let Some(syntax_error) = syntax_error {
            let why = format!(
                "{file}:{}: cannot be parsed: {}",
                syntax_error.position.line, syntax_error.message
            );
            defaulted.notes.push(escaped(&why, usize::MAX));
        }
    }
    defaulted.text = apply(text, edits);
    defaulted
}

fn edits_of(
    settings: &Settings,
    index: &Index,
    object: &Node,
    length: usize,
    creator: Option<&str>,
) -> Result<Vec<Edit>, &'static str> {
    let unreadable = "cannot be parsed; for details run: kubectl cnbi check";
    let (value, _) = object.expand(10 * length + 1000).map_err(|_| unreadable)?;
    let mut image = serde_json::from_value::<UnvalidatedImage>(value).map_err(|_| unreadable)?;
    assume_namespace(&mut image, &settings.namespace);
    let Defaults {
        target_namespace,
        display_name,
        creator,
    } = defaults_of(&image, settings.config.as_ref(), creator);
    let mut edits = Vec::new();
    let find = |at: FieldId| object.find(&at.path());
    if let (Some(target), Some(spec)) = (target_namespace, find(FieldId::Spec)) {
        edits.push(index.insert(spec.position, None, &[("targetNamespace", &target)]));
    }
    let added = [
        (annotations::DISPLAY_NAME, display_name),
        (annotations::CREATOR, creator),
    ];
    let added: Vec<(&str, &str)> = added
        .iter()
        .filter_map(|(key, text)| Some((*key, text.as_deref()?)))
        .collect();
    if !added.is_empty() {
        edits.push(match (find(FieldId::Annotations), find(FieldId::Metadata)) {
            (Some(annotations), _) if matches!(&*annotations.data, Data::Object(_)) => {
                index.insert(annotations.position, None, &added)
            }
            (None, Some(metadata)) => index.insert(metadata.position, Some("annotations"), &added),
            _ => None,
        });
    }
    let edits: Option<Vec<Edit>> = edits.into_iter().collect();
    edits.ok_or("a default cannot be added to an alias or to a key without a value; write it by hand")
}
