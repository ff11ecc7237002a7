//! What somebody meant who wrote a word that is not known.

/// The known name that a reader would take `text` for, if there is one.
pub(crate) fn nearest(text: &str, known: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    // A hostile key of megabytes must not cost a matrix of them.
    let text = if text.len() <= 64 {
        text.to_lowercase()
    } else {
        return None;
    };
    known
        .into_iter()
        .map(|name| {
            (
                strsim::normalized_damerau_levenshtein(&text, &name.to_lowercase()),
                name,
            )
        })
        .filter(|(similarity, _)| *similarity >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
