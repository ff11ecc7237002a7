//! What came of a judgement: findings, undecided rules, and the answer that follows from them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::facts::Lookup;
use crate::path::{FieldId, Path};
use crate::rules::Rule;

/// How much a finding weighs. `Ord`: a higher level is stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub enum Level {
    /// The rule is not in force.
    Off,
    /// The user is told; the request passes.
    Warn,
    /// The request is refused.
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

/// Most findings that one answer tells; the rest is counted.
pub const SHOWN: usize = 50;

/// Most characters of an offending value that are repeated to the user.
const SHOWN_VALUE: usize = 80;

/// Something that is wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule that found it.
    pub rule: &'static Rule,
    /// How much it weighs here, after configuration and ratcheting.
    pub level: Level,
    /// Where.
    pub path: Path,
    /// The offending value, whole and unsafe to print; see [`Finding::shown_value`]. `None` where there is none to show, or
    /// where it may be a secret.
    pub value: Option<String>,
    /// What is wrong, as the end of a sentence that begins with the field.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// The corrected value, where there is exactly one.
    pub replacement: Option<String>,
    /// The offending value where it may be a secret: it tells this finding from others, and nothing ever prints it.
    pub(crate) hidden: Option<Hidden>,
}

/// Text that may be a secret. It can be compared, and no trait of it prints.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Hidden(pub(crate) String);

impl fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hidden")
    }
}

/// What makes two findings the same one. See [`Finding::origin`].
pub(crate) type Origin<'a> = (
    &'static str,
    FieldId,
    Option<&'a str>,
    Option<&'a str>,
    Option<&'a Hidden>,
);

impl Finding {
    /// Adds what to write instead.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the one corrected value; the hint then says so.
    pub fn replacement(&mut self, replacement: impl Into<String>) -> &mut Self {
        let replacement = replacement.into();
        if self.hint.is_none() {
            self.hint = Some(format!("write {}", printable(&replacement, 2 * SHOWN_VALUE)));
        }
        self.replacement = Some(replacement);
        self
    }

    /// The offending value, shortened and safe to print.
    pub fn shown_value(&self) -> Option<String> {
        self.value.as_deref().map(|value| printable(value, SHOWN_VALUE))
    }

    /// The path, safe to print.
    pub fn shown_path(&self) -> String {
        printable(&self.path.to_string(), 2 * SHOWN_VALUE)
    }

    /// Two findings are of the same origin when rule, field and value agree. The index is left out: an item that moves
    /// within its list is still the same item.
    pub(crate) fn origin(&self) -> Origin<'_> {
        (
            self.rule.id,
            self.path.at,
            self.path.child.as_deref(),
            self.value.as_deref(),
            self.hidden.as_ref(),
        )
    }
}

/// Why a finding is one, in Kubernetes' own words for causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A value has to be there.
    Required,
    /// A value is not a legal one.
    Invalid,
    /// A value is legal but not offered here.
    NotSupported,
    /// A value may not be set, or not be changed.
    Forbidden,
    /// A value is there twice.
    Duplicate,
    /// A value is too long or a list has too many items.
    TooLong,
    /// What the value names is not there.
    NotFound,
}

impl Cause {
    /// `causes[].reason` of a Kubernetes status.
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

    /// The words that Kubernetes begins such a message with.
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

/// A rule that could not be judged, because something it needs is not known.
#[derive(Clone, Debug)]
pub struct Undecided {
    /// The rule.
    pub rule: &'static Rule,
    /// The level that a finding of it would have had.
    pub level: Level,
    /// Where the finding would have been.
    pub path: Path,
    /// What has to be known.
    pub need: Lookup,
}

/// What to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request passes, perhaps with warnings.
    Allowed,
    /// Refused for its content: HTTP 422.
    Invalid,
    /// Refused only because the user may not: HTTP 403.
    Forbidden,
    /// Nothing speaks against it but what could not be found out: HTTP 503.
    Undecided,
}

/// All that was found about one object, in the order of its fields.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What could not be judged.
    pub undecided: Vec<Undecided>,
}

impl Report {
    /// The answer that follows.
    pub fn outcome(&self) -> Outcome {
        let mut denials = self.denials().peekable();
        if denials.peek().is_none() {
            let blocked = self.undecided.iter().any(|undecided| undecided.level == Level::Deny);
            return if blocked { Outcome::Undecided } else { Outcome::Allowed };
        }
        if denials.all(|finding| finding.rule.is_about_permission) {
            Outcome::Forbidden
        } else {
            Outcome::Invalid
        }
    }

    /// The findings that refuse the request.
    pub fn denials(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.level == Level::Deny)
    }

    /// The findings that only warn.
    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.level == Level::Warn)
    }

    /// Everything that has to be found out before the report can be complete, each need once.
    pub fn needs(&self) -> Vec<&Lookup> {
        let mut needs: Vec<&Lookup> = self.undecided.iter().map(|undecided| &undecided.need).collect();
        needs.sort_unstable();
        needs.dedup();
        needs
    }
}

/// Makes text that a user wrote safe to print on one line and between quotes: quotes, backslashes, control and formatting
/// characters become escapes, and at most `limit` characters stay.
pub fn printable(text: &str, limit: usize) -> String {
    shortened(text, limit, &['\''])
}

/// The same for a text of ours with such values in it: its quotes and backslashes are left alone.
pub fn escaped(text: &str, limit: usize) -> String {
    shortened(text, limit, &['\'', '"', '\\'])
}

/// Most choices that one answer lists.
const LISTED: usize = 8;

/// The first of the choices that somebody has, then how many more there are.
pub(crate) fn listed(choices: impl ExactSizeIterator<Item = String>) -> String {
    let more = choices.len().saturating_sub(LISTED);
    let mut list: Vec<String> = choices.take(LISTED).collect();
    if more > 0 {
        list.push(format!("{more} more"));
    }
    list.join(", ")
}

fn shortened(text: &str, limit: usize, kept: &[char]) -> String {
    // Nearly every text that comes here.
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
        // `escape_debug` leaves printable Unicode alone and escapes controls, separators and bidirectional marks.
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
    fn nothing_unprintable_is_repeated() {
        assert_eq!(
            printable("a\nb\u{1b}[31m\u{202e}x\"'é", 80),
            r#"a\nb\u{1b}[31m\u{202e}x\"'é"#
        );
        assert_eq!(printable("abcdef", 3), "abc…");
    }
}
