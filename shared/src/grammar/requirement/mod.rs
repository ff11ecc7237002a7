//! Python requirements (PEP 508 with PEP 440 specifiers), as PyPI's `packaging` reads them.
//!
//! The parser follows `packaging.requirements.Requirement` token by token, because that is what pip runs: it takes more
//! than the PEP's text (a trailing comma, `===` with nothing after it) and a little less. White space around a requirement
//! (space, tab, line break) is trimmed; a line break inside is refused, because in a requirements file it would begin
//! another line.
//!
//! `range` decides whether specifiers contradict each other and `plain` where that takes no arithmetic, `marker` and its
//! rooms evaluate environment markers, `command_line` tells pip's options and files from mere mistakes, `slips` proposes
//! corrections.

use std::borrow::Cow;

mod command_line;
mod cursor;
mod disjoint;
mod environment;
mod marker;
mod parse;
mod plain;
mod python_string;
mod range;
mod slips;
mod specifier;
mod version_point;

pub use command_line::{CommandLine, Refusal, admit};
pub use environment::{Environment, Truth};
pub use marker::{Comparison, Marker, MarkerOperator, Operand, Variable};
pub use parse::{RequirementError, RequirementErrorKind};
pub use slips::suggest;
pub use specifier::{Operator, Specifier, Specifiers};

/// How deep parentheses may nest in a marker. An item of 512 characters cannot nest 250 deep.
pub const MARKER_DEPTH_MAX: usize = 256;

/// A parsed requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement<'a> {
    pub(super) name: &'a str,
    pub(super) extras: Vec<&'a str>,
    pub(super) specifiers: Specifiers<'a>,
    pub(super) url: Option<&'a str>,
    pub(super) marker: Option<Marker>,
}

impl<'a> Requirement<'a> {
    /// Parses a requirement; white space around it is ignored.
    pub fn parse(text: &'a str) -> Result<Self, RequirementError> {
        parse::requirement(trim(text))
    }

    /// The name as written.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The name by which an index knows the project (PEP 503): lower case, runs of `-`, `_` and `.` as one `-`.
    pub fn normalized_name(&self) -> Cow<'a, str> {
        normalize_name(self.name)
    }

    /// The extras as written and in that order.
    pub fn extras(&self) -> &[&'a str] {
        &self.extras
    }

    /// The version specifiers; none for a direct reference.
    pub fn specifiers(&self) -> &Specifiers<'a> {
        &self.specifiers
    }

    /// The URL of a direct reference (`name @ url`). Not validated in any way, and it may carry credentials.
    pub fn url(&self) -> Option<&'a str> {
        self.url
    }

    /// The environment marker.
    pub fn marker(&self) -> Option<&Marker> {
        self.marker.as_ref()
    }
}

/// PEP 503's normal form of a project's or an extra's name.
pub fn normalize_name(name: &str) -> Cow<'_, str> {
    let mut before = 0;
    let is_normal = name.bytes().all(|byte| {
        let after = std::mem::replace(&mut before, byte);
        matches!(byte, b'a'..=b'z' | b'0'..=b'9') || (byte == b'-' && after != b'-')
    });
    if is_normal {
        return Cow::Borrowed(name);
    }
    let mut normal = String::with_capacity(name.len());
    let mut separated = false;
    for c in name.chars() {
        if matches!(c, '-' | '_' | '.') {
            if !separated {
                normal.push('-');
            }
            separated = true;
            continue;
        }
        separated = false;
        if c.is_ascii() {
            normal.push(c.to_ascii_lowercase());
        } else {
            normal.extend(c.to_lowercase());
        }
    }
    Cow::Owned(normal)
}

/// The requirement without the white space around it; what is handed on must be this and not what was written.
pub fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// The first place at which pip would break a requirements file.
fn line_break(text: &str) -> Option<usize> {
    // Nearly every text is plain, and to look at all of it without a branch costs next to nothing.
    let is_plain = text
        .bytes()
        .fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
    if is_plain { None } else { text.find(is_line_break) }
}

/// The characters at which pip breaks a requirements file into lines (Python's `str.splitlines`).
fn is_line_break(c: char) -> bool {
    matches!(
        c,
        '\n' | '\x0b' | '\x0c' | '\r' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

#[cfg(test)]
mod tests;
