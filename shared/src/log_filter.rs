//! What `--log` of the programs takes: a level, or targets with levels such as `info,cnbi_webhook=debug`.
//!
//! The library that filters takes any lone word for a target of which everything is logged. With a level that is misspelt a program
//! would so log nothing at all, and nobody would know why.

use std::fmt;

use crate::nearest::nearest;

/// The levels, from little to much.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A part of a filter that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoLevel(String);

impl fmt::Display for NoLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(word) = self;
        write!(formatter, "{word:?} is no level")?;
        match nearest(word, LEVELS) {
            Some(level) => write!(formatter, "; did you mean {level}?")?,
            None => write!(formatter, "; levels are {}.", LEVELS.join(", "))?,
        }
        formatter.write_str(" A level for one part of the program is written as cnbi_webhook=debug")
    }
}

impl std::error::Error for NoLevel {}

/// Gives the filter back if each of its parts says a level.
pub fn checked(filter: &str) -> Result<String, NoLevel> {
    for part in filter.split(',') {
        let word = part.rsplit_once('=').map_or(part, |(_, level)| level);
        if !LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word)) {
            return Err(NoLevel(word.to_owned()));
        }
    }
    Ok(filter.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_targets_with_levels_are_taken() {
        for filter in [
            "info",
            "WARN",
            "off",
            "info,cnbi_webhook=debug",
            "kube_client::client=trace,error",
        ] {
            assert_eq!(checked(filter).as_deref(), Ok(filter));
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_refused_with_the_one_that_was_meant() {
        let said = |filter: &str| checked(filter).unwrap_err().to_string();
        assert!(said("inof").starts_with("\"inof\" is no level; did you mean info? "));
        assert!(said("info,cnbi_webhook=dbug").starts_with("\"dbug\" is no level; did you mean debug? "));
        assert!(said("cnbi_webhook").starts_with("\"cnbi_webhook\" is no level; levels are off, error, "));
        for filter in ["", "info,", "a=", "\u{1b}[31m"] {
            assert!(said(filter).contains("is no level"), "{filter:?}");
        }
        assert!(!said("\u{1b}[31m").contains('\u{1b}'));
    }
}
