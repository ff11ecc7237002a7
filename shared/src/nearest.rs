//! What somebody meant who wrote a word that is not known.

/// How alike two words have to be, of 1.
const ALIKE: f64 = 0.6;

/// Nobody means a name by more bytes than this, and a hostile word of megabytes must not cost a matrix of them.
const LONGEST: usize = 64;

/// The known name that a reader would take `text` for, if there is one; letters count the same in either case.
pub fn nearest<Name: AsRef<str>>(text: &str, known: impl IntoIterator<Item = Name>) -> Option<Name> {
    nearest_of(text, ALIKE, known)
}

/// The same, for names that are at least so much `alike`, of 1: among many short ones some are always somewhat like it.
pub fn nearest_of<Name: AsRef<str>>(text: &str, alike: f64, known: impl IntoIterator<Item = Name>) -> Option<Name> {
    if text.len() > LONGEST {
        return None;
    }
    let text = text.to_lowercase();
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(&text, &name.to_lowercase());
    known
        .into_iter()
        .map(|name| (likeness(name.as_ref()), name))
        .filter(|(likeness, _)| *likeness >= alike)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_meant_if_any_is_near() {
        assert_eq!(nearest("FromImgae", ["fromImage", "gitRef"]), Some("fromImage"));
        assert_eq!(nearest("image", ["fromImage", "gitRef"]), None);
        assert_eq!(nearest("", ["fromImage"]), None);
        assert_eq!(nearest("x", Vec::<String>::new()), None);
        let long = "a".repeat(LONGEST);
        assert_eq!(nearest(&long, [long.as_str()]), Some(long.as_str()));
        let longer = "a".repeat(LONGEST + 1);
        assert_eq!(nearest(&longer, [longer.as_str()]), None);
    }
}
