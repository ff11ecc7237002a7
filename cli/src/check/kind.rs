//! Which documents are ours. What is wrong with them is not asked here.

use cnbi_shared::api::{GROUP, KIND};
use cnbi_shared::nearest::nearest;

use super::node::Node;
use super::yaml::Broken;

/// Whether an object says that it is one of ours, or means to.
///
/// Somebody who writes our kind under no group, or under another version of our group, means it: the API server would
/// refuse that, and skipping it would hide the mistake. The same holds in our group for a kind that is nearly ours, or none; the
/// group has other kinds, which are not. The same kind in somebody else's group is somebody else's.
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

/// The objects of a document, lists taken apart, each with whether it is ours. `items` bounds how many.
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
    // In a list of one kind, the items may leave theirs out.
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

/// Whether a document that cannot be read is one of ours: by what was read, or else by what the text says.
pub fn is_ours_though_broken(broken: &Broken, text: &str) -> bool {
    if let Some(partial) = &broken.partial
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
