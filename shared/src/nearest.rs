//! Suggestions for misspelt words.

/// Minimum similarity of two words, from 0 to 1.
const MIN_SIMILARITY: f64 = 0.6;

/// Maximum length, in bytes, of a word that is compared. It bounds the memory of the comparison.
const MAX_BYTES: usize = 64;

/// The known name that is most similar to `text`, ignoring case.
pub fn nearest<Name: AsRef<str>>(text: &str, known: impl IntoIterator<Item = Name>) -> Option<Name> {
    nearest_of(text, MIN_SIMILARITY, known)
}

/// Like [`nearest`], with a minimum similarity from 0 to 1: among many short names, some are always similar.
pub fn nearest_of<Name: AsRef<str>>(
    text: &str,
    min_similarity: f64,
    known: impl IntoIterator<Item = Name>,
) -> Option<Name> {
    if text.len() > MAX_BYTES {
        return None;
    }
    let text = text.to_lowercase();
    let similarity = |name: &str| strsim::normalized_damerau_levenshtein(&text, &name.to_lowercase());
    known
        .into_iter()
        .map(|name| (similarity(name.as_ref()), name))
        .filter(|(similarity, _)| *similarity >= min_similarity)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_name_is_suggested() {
        assert_eq!(nearest("FromImgae", ["fromImage", "gitRef"]), Some("fromImage"));
        assert_eq!(nearest("image", ["fromImage", "gitRef"]), None);
        assert_eq!(nearest("", ["fromImage"]), None);
        assert_eq!(nearest("x", Vec::<String>::new()), None);
        let long = "a".repeat(MAX_BYTES);
        assert_eq!(nearest(&long, [long.as_str()]), Some(long.as_str()));
        let longer = "a".repeat(MAX_BYTES + 1);
        assert_eq!(nearest(&longer, [longer.as_str()]), None);
    }
}
