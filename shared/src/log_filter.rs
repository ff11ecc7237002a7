//! Validates the value of `--log`: a level, or modules with levels such as `info,cnbi_webhook=debug`.
//!
//! `tracing-subscriber` reads an unknown word as the name of a module. With a misspelt level, a program would log nothing.

use std::fmt;

use crate::nearest::nearest;

/// The levels, in increasing verbosity.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A part of a filter without a valid level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidLogFilter(String);

impl fmt::Display for InvalidLogFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(word) = self;
        write!(formatter, "{word:?} is not a log level")?;
        match nearest(word, LEVELS) {
            Some(level) => write!(formatter, "; did you mean {level}?")?,
            None => write!(formatter, "; use one of {}.", LEVELS.join(", "))?,
        }
        formatter.write_str(" To set the level of one module, use for example cnbi_webhook=debug")
    }
}

impl std::error::Error for InvalidLogFilter {}

/// Returns the filter if each part has a valid level.
pub fn parse(filter: &str) -> Result<String, InvalidLogFilter> {
    for part in filter.split(',') {
        let word = part.rsplit_once('=').map_or(part, |(_, level)| level);
        if !LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word)) {
            return Err(InvalidLogFilter(word.to_owned()));
        }
    }
    Ok(filter.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_filters_are_accepted() {
        for filter in [
            "info",
            "WARN",
            "off",
            "info,cnbi_webhook=debug",
            "kube_client::client=trace,error",
        ] {
            assert_eq!(parse(filter).as_deref(), Ok(filter));
        }
    }

    #[test]
    fn unknown_levels_are_rejected_with_a_suggestion() {
        let error = |filter: &str| parse(filter).unwrap_err().to_string();
        assert!(error("inof").starts_with("\"inof\" is not a log level; did you mean info? "));
        assert!(error("info,cnbi_webhook=dbug").starts_with("\"dbug\" is not a log level; did you mean debug? "));
        assert!(error("cnbi_webhook").starts_with("\"cnbi_webhook\" is not a log level; use one of off, error, "));
        for filter in ["", "info,", "a=", "\u{1b}[31m"] {
            assert!(error(filter).contains("is not a log level"), "{filter:?}");
        }
        assert!(!error("\u{1b}[31m").contains('\u{1b}'));
    }
}
