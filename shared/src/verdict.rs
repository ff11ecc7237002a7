//! The result of an evaluation: findings, rules that were not checked, and the outcome.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::facts::Lookup;
use crate::path::{FieldId, Path};
use crate::rules::Rule;

/// The level of a rule or finding. `Ord`: a higher level is stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub enum Level {
    /// The rule is disabled.
    Off,
    /// The request is accepted with a warning.
    Warn,
    /// The request is rejected.
    Deny,
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Off => "Off",
            Self::Warn => "Warn",
            Self::Deny => "Deny",
        })
    }
}

/// Maximum number of findings in a response; further ones are counted.
pub const SHOWN: usize = 50;

/// Maximum number of characters of an invalid value that are shown.
const SHOWN_VALUE: usize = 80;

/// An error or warning of a rule.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// The level, after configuration and ratcheting.
    pub level: Level,
    /// The field.
    pub path: Path,
    /// The complete invalid value, not safe to print; see [`Finding::shown_value`]. `None` if there is no value or it may be a secret.
    pub value: Option<String>,
    /// The problem; it continues a sentence that begins with the field and the value.
    pub message: String,
    /// How to fix it.
    pub hint: Option<String>,
    /// The corrected value, if there is exactly one.
    pub replacement: Option<String>,
    /// The invalid value if it may be a secret. It is compared, but never printed.
    pub(crate) hidden: Option<HiddenValue>,
}

/// Text that may be a secret. It can be compared, but not printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct HiddenValue(pub(crate) String);

impl fmt::Debug for HiddenValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hidden")
    }
}

/// Identifies a finding; see [`Finding::key`].
pub(crate) type FindingKey<'a> = (
    &'static str,
    FieldId,
    Option<&'a str>,
    Option<&'a str>,
    Option<&'a HiddenValue>,
);

impl Finding {
    /// Sets the hint.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the corrected value, and a hint if there is none.
    pub fn replacement(&mut self, replacement: impl Into<String>) -> &mut Self {
        let replacement = replacement.into();
        if self.hint.is_none() {
            self.hint = Some(format!("write {}", printable(&replacement, 2 * SHOWN_VALUE)));
        }
        self.replacement = Some(replacement);
        self
    }

    /// The invalid value, shortened and safe to print.
    pub fn shown_value(&self) -> Option<String> {
        self.value.as_deref().map(|value| printable(value, SHOWN_VALUE))
    }

    /// The path, safe to print.
    pub fn shown_path(&self) -> String {
        printable(&self.path.to_string(), 2 * SHOWN_VALUE)
    }

    /// Two findings are the same if rule, field and value are equal. The index is ignored, because an item may move within its list.
    pub(crate) fn key(&self) -> FindingKey<'_> {
        (
            self.rule.id,
            self.path.field,
            self.path.unknown_key.as_deref(),
            self.value.as_deref(),
            self.hidden.as_ref(),
        )
    }
}

/// The cause of a finding: the error types of Kubernetes field errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A required value is missing.
    Required,
    /// A value is invalid.
    Invalid,
    /// A value is valid but not supported here.
    NotSupported,
    /// A value must not be set or changed.
    Forbidden,
    /// A value is repeated.
    Duplicate,
    /// A value or list is too long.
    TooLong,
    /// The referenced object does not exist.
    NotFound,
}

impl Cause {
    /// `details.causes[].reason` of a Kubernetes `Status`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::Duplicate => "FieldValueDuplicate",
            Self::TooLong => "FieldValueTooLong",
            Self::NotFound => "FieldValueNotFound",
        }
    }

    /// The beginning of the message of a Kubernetes field error.
    pub fn title(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::Duplicate => "Duplicate value",
            Self::TooLong => "Too long",
            Self::NotFound => "Not found",
        }
    }
}

/// A rule that was not checked, because a fact is unknown.
#[derive(Clone, Debug)]
pub struct NotChecked {
    /// The rule.
    pub rule: &'static Rule,
    /// The level that a finding would have.
    pub level: Level,
    /// The field of the finding.
    pub path: Path,
    /// The unknown fact.
    pub lookup: Lookup,
}

/// The outcome of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request is accepted, possibly with warnings.
    Allowed,
    /// Rejected for its content: HTTP 422.
    Invalid,
    /// Rejected only for missing permissions: HTTP 403.
    Forbidden,
    /// No denials, but rules at level `Deny` were not checked: HTTP 503.
    NotChecked,
}

/// The result of an evaluation, in the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The findings.
    pub findings: Vec<Finding>,
    /// The rules that were not checked.
    pub not_checked: Vec<NotChecked>,
}

impl Report {
    /// The outcome.
    pub fn outcome(&self) -> Outcome {
        let mut denials = self.denials().peekable();
        if denials.peek().is_none() {
            let blocked = self
                .not_checked
                .iter()
                .any(|not_checked| not_checked.level == Level::Deny);
            return if blocked { Outcome::NotChecked } else { Outcome::Allowed };
        }
        if denials.all(|finding| finding.rule.is_about_permission) {
            Outcome::Forbidden
        } else {
            Outcome::Invalid
        }
    }

    /// The findings that reject the request.
    pub fn denials(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.level == Level::Deny)
    }

    /// The findings at level `Warn`.
    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.level == Level::Warn)
    }

    /// The lookups that are required to check the remaining rules, without duplicates.
    pub fn pending_lookups(&self) -> Vec<&Lookup> {
        let mut pending_lookups: Vec<&Lookup> =
            self.not_checked.iter().map(|not_checked| &not_checked.lookup).collect();
        pending_lookups.sort_unstable();
        pending_lookups.dedup();
        pending_lookups
    }
}

/// Escapes user input for printing on one line and in quotes: quotes, backslashes, control and formatting characters are escaped. The result
/// has at most `limit` characters of the input.
pub fn printable(text: &str, limit: usize) -> String {
    shortened(text, limit, &['\''])
}

/// Like [`printable`] for a message that contains such values: quotes and backslashes are kept.
pub fn escaped(text: &str, limit: usize) -> String {
    shortened(text, limit, &['\'', '"', '\\'])
}

/// Maximum number of choices in a message.
const LISTED: usize = 8;

/// The first choices, then the number of further ones.
pub(crate) fn listed(choices: impl ExactSizeIterator<Item = String>) -> String {
    let more = choices.len().saturating_sub(LISTED);
    let mut list: Vec<String> = choices.take(LISTED).collect();
    if more > 0 {
        list.push(format!("{more} more"));
    }
    list.join(", ")
}

fn shortened(text: &str, limit: usize, kept: &[char]) -> String {
    // Fast path for nearly all texts.
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if text.len() <= limit && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    let mut shown = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == limit {
            shown.push('…');
            break;
        }
        // `escape_debug` keeps printable Unicode and escapes control characters, separators and bidirectional marks.
        if kept.contains(&character) {
            shown.push(character);
        } else {
            shown.extend(character.escape_debug());
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unprintable_characters_are_escaped() {
        assert_eq!(
            printable("a\nb\u{1b}[31m\u{202e}x\"'é", 80),
            r#"a\nb\u{1b}[31m\u{202e}x\"'é"#
        );
        assert_eq!(printable("abcdef", 3), "abc…");
    }
}
