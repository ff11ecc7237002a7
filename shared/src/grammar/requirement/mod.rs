//! Python requirements (PEP 508 with PEP 440 specifiers), as the `packaging` library reads them.
//!
//! The parser follows `packaging.requirements.Requirement`, which pip uses and which differs slightly from the PEP (it accepts a trailing
//! comma and an empty `===`). White space around a requirement is trimmed. A line break inside is rejected, because it would begin another
//! line of a requirements file.
//!
//! `range` and `simple_version` decide whether specifiers contradict each other, `marker`, `environment` and `disjoint` evaluate markers,
//! `command_line` detects options and files of pip, `suggest` proposes corrections.

use std::borrow::Cow;

mod command_line;
mod cursor;
mod disjoint;
mod environment;
mod interval;
mod marker;
mod parse;
mod python_string;
mod range;
mod simple_version;
mod specifier;
mod suggest;
mod version_lexer;
mod version_point;

pub use command_line::{CommandLineSyntax, PackageItemError, parse_package_item};
pub use environment::{Environment, Truth};
pub use marker::{Comparison, Marker, MarkerOperator, Operand, Variable};
pub use parse::{RequirementError, RequirementErrorKind};
pub use specifier::{Operator, Specifier, Specifiers};
pub use suggest::suggest;

/// Maximum nesting of parentheses in a marker. An item of 512 characters cannot reach it.
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

    /// The normalized name (PEP 503): lower case, runs of `-`, `_` and `.` as one `-`.
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

    /// The URL of a direct reference (`name @ url`). Not validated; it may contain credentials.
    pub fn url(&self) -> Option<&'a str> {
        self.url
    }

    /// The environment marker.
    pub fn marker(&self) -> Option<&Marker> {
        self.marker.as_ref()
    }
}

/// The normalized name (PEP 503) of a project or extra.
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

/// The requirement without surrounding white space. Only this form may be passed on.
pub fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// The position of the first line break in the sense of pip.
fn line_break(text: &str) -> Option<usize> {
    // Fast path for plain ASCII, without branches.
    let is_plain = text
        .bytes()
        .fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
    if is_plain { None } else { text.find(is_line_break) }
}

/// Whether pip splits a requirements file at the character (`str.splitlines`).
fn is_line_break(c: char) -> bool {
    matches!(
        c,
        '\n' | '\x0b' | '\x0c' | '\r' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

#[cfg(test)]
mod tests;
