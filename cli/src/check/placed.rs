//! Where in a file does a finding stand? Nothing is judged here but what only the text can show.

use cnbi_shared::api::{API_VERSION, KIND};
use cnbi_shared::path::{FieldId, Path};
use cnbi_shared::rules::RULES;
use cnbi_shared::verdict::{Finding, Level};

use super::PlacedFinding;
use super::node::{Data, Duplicate, Node, Place};

/// Most characters that are kept of a value or a path.
const CHARACTERS: usize = 8192;

/// A finding, and the path that it is sorted by.
pub type Placed = (Path, PlacedFinding);

/// A finding of CNB000 that only somebody who has the text can make.
pub fn unreadable(path: Path, place: Place, value: Option<&str>, message: &str, hint: Option<&str>) -> Placed {
    let finding = PlacedFinding {
        rule: RULES[0].id,
        level: Level::Deny,
        path: bounded(&path.to_string()),
        line: place.line,
        column: place.column,
        value: value.map(bounded),
        message: bounded(message),
        hint: hint.map(bounded),
        replacement: None,
    };
    (path, finding)
}

/// A version of ours that there is not, or none.
pub fn wrong_api_version(object: &Node, found: Option<&str>) -> Placed {
    let message = match object.get("apiVersion") {
        Some(_) => "is not a version of CustomNBImage",
        None => "is missing",
    };
    let place = object
        .entry("apiVersion")
        .map_or(object.place, |entry| entry.value.place);
    unreadable(
        FieldId::Object.unknown("apiVersion"),
        place,
        found,
        message,
        Some(&format!("write {API_VERSION}")),
    )
}

/// A kind that is nearly ours, or none. The items of a list of ours may leave out both kind and version.
pub fn wrong_kind(object: &Node) -> Option<Placed> {
    let found = object.text("kind");
    if found == Some(KIND) || (found.is_none() && object.get("apiVersion").is_none()) {
        return None;
    }
    let place = object.entry("kind").map_or(object.place, |entry| entry.value.place);
    let message = found.map_or("is missing", |_| "is no kind that a cluster knows");
    let hint = format!("write {KIND}");
    Some(unreadable(
        FieldId::Object.unknown("kind"),
        place,
        found,
        message,
        Some(&hint),
    ))
}

/// A key that is there twice.
pub fn duplicate(duplicate: &Duplicate) -> Placed {
    let Duplicate {
        parents,
        key,
        first,
        again,
    } = duplicate;
    let keys: Vec<&str> = parents.iter().chain([key]).map(|key| &**key).collect();
    // The path of a key that is no field of ours ends at the nearest field above it.
    let nearest = FieldId::ALL
        .into_iter()
        .filter(|at| keys.starts_with(at.keys()))
        .max_by_key(|at| at.keys().len());
    let nearest = nearest.unwrap_or(FieldId::Object);
    let path = match keys.get(nearest.keys().len()) {
        Some(below) => nearest.unknown(below),
        None => nearest.whole(),
    };
    let message = format!("the key `{key}` is there twice, first on line {}", first.line);
    unreadable(
        path,
        *again,
        None,
        &message,
        Some("take one of them out: kubectl would drop the first without a word"),
    )
}

/// A finding of the rules, where its field stands.
pub fn at_its_place(finding: Finding, object: &Node) -> Placed {
    let place = object.locate(&finding.path);
    let hint = hint_as_written(&finding, object);
    let as_text = as_text(&finding, object);
    let Finding {
        rule,
        level,
        path,
        value,
        message,
        replacement,
        ..
    } = finding;
    let finding = PlacedFinding {
        replacement: replacement.or(as_text),
        rule: rule.id,
        level,
        path: bounded(&path.to_string()),
        line: place.line,
        column: place.column,
        value: value.as_deref().map(bounded),
        message: bounded(&message),
        hint: hint.as_deref().map(bounded),
    };
    (path, finding)
}

/// The hint, with a number as it is written: of `3.10` only `3.1` is left where YAML has made a number of it.
fn hint_as_written(finding: &Finding, object: &Node) -> Option<String> {
    let hint = finding.hint.clone()?;
    let written = match (&finding.value, object.find(&finding.path).map(|node| &*node.data)) {
        (Some(value), Some(Data::Number(_, written) | Data::Bool(_, written))) if **written != **value => {
            hint.replace(&format!("\"{value}\""), &format!("\"{written}\""))
        }
        _ => hint,
    };
    Some(written)
}

/// A number or a boolean where text is asked for, as the text that is written there.
fn as_text(finding: &Finding, object: &Node) -> Option<String> {
    let is_asked_for = finding.rule.id == RULES[0].id && finding.message.starts_with("must be of type string");
    match &*object.find(&finding.path)?.data {
        Data::Number(_, written) | Data::Bool(_, written) if is_asked_for => Some(written.to_string()),
        _ => None,
    }
}

/// As much of a text as is kept.
pub fn bounded(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
