//! Locates findings in the text, and finds errors that only the text shows, such as duplicate keys.

use cnbi_shared::api::{API_VERSION, KIND};
use cnbi_shared::path::{FieldId, Path};
use cnbi_shared::rules::RULES;
use cnbi_shared::verdict::{Finding, Level};

use super::LocatedFinding;
use super::node::{Data, Duplicate, Node, Position};

/// Maximum characters of a value or a path.
const CHARACTERS: usize = 8192;

/// A finding with its path as sort key.
pub type Located = (Path, LocatedFinding);

/// A finding of CNB000 about the text.
pub fn unreadable(path: Path, position: Position, value: Option<&str>, message: &str, hint: Option<&str>) -> Located {
    let finding = LocatedFinding {
        rule: RULES[0].id,
        level: Level::Deny,
        path: bounded(&path.to_string()),
        line: position.line,
        column: position.column,
        value: value.map(bounded),
        message: bounded(message),
        hint: hint.map(bounded),
        replacement: None,
    };
    (path, finding)
}

/// An unknown or missing `apiVersion`.
pub fn wrong_api_version(object: &Node, found: Option<&str>) -> Located {
    let message = match object.get("apiVersion") {
        Some(_) => "is not a version of CustomNBImage",
        None => "is missing",
    };
    let position = object
        .entry("apiVersion")
        .map_or(object.position, |entry| entry.value.position);
    unreadable(
        FieldId::Object.unknown_key("apiVersion"),
        position,
        found,
        message,
        Some(&format!("write {API_VERSION}")),
    )
}

/// A misspelled or missing `kind`. Items of a CustomNBImageList may omit both `kind` and `apiVersion`.
pub fn wrong_kind(object: &Node) -> Option<Located> {
    let found = object.text("kind");
    if found == Some(KIND) || (found.is_none() && object.get("apiVersion").is_none()) {
        return None;
    }
    let position = object
        .entry("kind")
        .map_or(object.position, |entry| entry.value.position);
    let message = found.map_or("is missing", |_| "is not a kind of meteor.zone");
    let hint = format!("write {KIND}");
    Some(unreadable(
        FieldId::Object.unknown_key("kind"),
        position,
        found,
        message,
        Some(&hint),
    ))
}

/// A duplicate key.
pub fn duplicate(duplicate: &Duplicate) -> Located {
    let Duplicate {
        parents,
        key,
        first,
        again,
    } = duplicate;
    let keys: Vec<&str> = parents.iter().chain([key]).map(|key| &**key).collect();
    // Paths of unknown keys end at the nearest known field above them.
    let nearest = FieldId::ALL
        .into_iter()
        .filter(|at| keys.starts_with(at.keys()))
        .max_by_key(|at| at.keys().len());
    let nearest = nearest.unwrap_or(FieldId::Object);
    let path = match keys.get(nearest.keys().len()) {
        Some(below) => nearest.unknown_key(below),
        None => nearest.path(),
    };
    let message = format!("duplicate key `{key}`, first defined on line {}", first.line);
    unreadable(
        path,
        *again,
        None,
        &message,
        Some("remove one of them; kubectl would silently drop the first"),
    )
}

/// Locates the field of a finding.
pub fn locate_finding(finding: Finding, object: &Node) -> Located {
    let position = object.locate(&finding.path);
    let scalar = unquoted_scalar(&finding, object);
    let Finding {
        rule,
        level,
        path,
        value,
        message,
        hint,
        replacement,
        ..
    } = finding;
    let mut located = LocatedFinding {
        rule: rule.id,
        level,
        path: bounded(&path.to_string()),
        line: position.line,
        column: position.column,
        value: value.as_deref().map(bounded),
        message: bounded(&message),
        hint: hint.as_deref().map(bounded),
        replacement,
    };
    if let Some((kind, written)) = scalar {
        located.value = Some(bounded(written));
        located.message = bounded(&format!("`{written}` is {kind}"));
        located.hint = Some(bounded(&format!("write \"{written}\"")));
        located.replacement = Some(written.to_owned());
    }
    (path, located)
}

/// A number or a boolean where a string is required: what it is, and its source text. The value alone is not enough, because
/// YAML reads `3.10` as 3.1 and `n` as false.
fn unquoted_scalar<'n>(finding: &Finding, object: &'n Node) -> Option<(&'static str, &'n str)> {
    let path = &finding.path;
    let is_string = match path.field {
        FieldId::Object
        | FieldId::Metadata
        | FieldId::Spec
        | FieldId::ImagePullSecret
        | FieldId::RuntimeEnvironment => false,
        FieldId::PackageVersions => path.index.is_some(),
        FieldId::Annotations => path.unknown_key.is_some(),
        _ => true,
    };
    if finding.rule.id != RULES[0].id || !is_string {
        return None;
    }
    match &*object.find(path)?.data {
        Data::Number(_, written) => Some(("a number", written)),
        Data::Bool(_, written) if matches!(&**written, "true" | "false") => Some(("a boolean", written)),
        Data::Bool(_, written) => Some(("a boolean in YAML", written)),
        _ => None,
    }
}

/// The text, shortened to the maximum length.
pub fn bounded(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
