//! Decides which objects are CustomNBImages.

use cnbi_shared::api::{GROUP, KIND};
use cnbi_shared::nearest::nearest;

use super::node::Node;
use super::yaml::SyntaxError;

/// Whether an object is a CustomNBImage, or meant to be one.
///
/// Also true for mistakes that the API server would reject, because skipping such a document would hide them: the kind without
/// a group or with another version of the group, and a misspelled or missing kind in the group. Other kinds of the group, and
/// the same kind in another group, are not CustomNBImages.
fn is_ours(object: &Node) -> bool {
    match (object.text("kind"), object.text("apiVersion")) {
        (Some(KIND), api_version) => api_version.is_none_or(is_our_group),
        (Some(kind), Some(api_version)) => names_our_group(api_version) && is_nearly_ours(kind),
        (None, Some(api_version)) => names_our_group(api_version) && object.get("kind").is_none(),
        _ => false,
    }
}

fn names_our_group(api_version: &str) -> bool {
    api_version.split_once('/').is_some_and(|(group, _)| group == GROUP)
}

fn is_nearly_ours(kind: &str) -> bool {
    !kind.ends_with("List") && nearest(kind, [KIND]).is_some()
}

fn is_our_group(api_version: &str) -> bool {
    api_version.split_once('/').is_none_or(|(group, _)| group == GROUP)
}

/// The objects of a document and of nested lists, and whether each is a CustomNBImage. `items` limits their number.
pub fn objects<'n>(document: &'n Node, items: &mut usize) -> Vec<(&'n Node, bool)> {
    let list = document
        .text("kind")
        .filter(|kind| kind.ends_with("List"))
        .and_then(|kind| {
            let list_items = document.get("items")?.items()?;
            (!list_items.is_empty()).then_some((kind, list_items))
        });
    let Some((kind, list_items)) = list else {
        return vec![(document, is_ours(document))];
    };
    // Items of a CustomNBImageList may omit their kind.
    let is_list_of_ours =
        kind.strip_suffix("List") == Some(KIND) && document.text("apiVersion").is_none_or(is_our_group);
    let mut found = Vec::new();
    for item in list_items {
        let Some(left) = items.checked_sub(1) else { break };
        *items = left;
        let names_nothing = item.get("kind").is_none() && item.get("apiVersion").is_none();
        if is_list_of_ours && names_nothing {
            found.push((item, true));
        } else {
            found.extend(objects(item, items));
        }
    }
    found
}

/// Whether an invalid document is probably a CustomNBImage: by the part that was parsed, or by the text.
pub fn may_be_ours(syntax_error: &SyntaxError, text: &str) -> bool {
    if let Some(partial) = &syntax_error.partial
        && let Some(kind) = partial.text("kind")
        && !kind.ends_with("List")
    {
        return is_ours(partial);
    }
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .any(|line| {
            line.match_indices(KIND).any(|(at, _)| {
                let is_word = |character: char| character.is_alphanumeric() || character == '_';
                !line[..at].ends_with(is_word) && !line[at + KIND.len()..].starts_with(is_word)
            })
        })
}
