//! Distinguishes pip options, files and lists of requirements from mistakes in a requirement.
//!
//! Only texts that the grammar rejects are examined: `requirements.txt` is a valid project name.

use super::parse::{RequirementError, RequirementErrorKind};
use super::{Requirement, is_line_break, trim};

/// Maximum length, in bytes, of a text that is searched for several requirements. An item has at most 512 characters.
const SEARCHED_MAX: usize = 1024;

/// Why an item of a package list is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each variant means")]
pub enum PackageItemError {
    /// Not a PEP 508 requirement.
    #[error(transparent)]
    Requirement(RequirementError),
    /// An option, a file or several requirements.
    #[error(transparent)]
    CommandLineSyntax(CommandLineSyntax),
}

/// A text that pip would not read as a single requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each variant means")]
pub enum CommandLineSyntax {
    #[error("contains a line break; each requirement must be a separate item")]
    LineBreak,
    #[error("contains a pip option; only requirements are allowed")]
    Option,
    #[error("is a file path or URL; write a package at a URL as name @ URL")]
    File,
    #[error("contains several requirements; each must be a separate item")]
    Several,
}

/// Parses one item of a package list.
///
/// # Errors
/// The item is not a requirement, or it is an option, a file or several requirements.
pub fn parse_package_item(text: &str) -> Result<Requirement<'_>, PackageItemError> {
    Requirement::parse(text).map_err(|error| match command_line(trim(text), &error) {
        Some(found) => PackageItemError::CommandLineSyntax(found),
        None => PackageItemError::Requirement(error),
    })
}

fn command_line(text: &str, error: &RequirementError) -> Option<CommandLineSyntax> {
    if error.kind == RequirementErrorKind::LineBreak {
        return Some(CommandLineSyntax::LineBreak);
    }
    let shown = text.trim_matches(|c: char| c.is_whitespace() || is_line_break(c) || "'\"`".contains(c));
    if has_option(shown) {
        Some(CommandLineSyntax::Option)
    } else if is_file(shown) {
        Some(CommandLineSyntax::File)
    } else if is_several(shown) {
        Some(CommandLineSyntax::Several)
    } else {
        None
    }
}

/// Whether a word begins with a dash followed by a letter or a second dash.
fn has_option(text: &str) -> bool {
    text.split([' ', '\t']).any(|word| {
        word.strip_prefix('-').is_some_and(|rest| {
            rest.strip_prefix('-')
                .unwrap_or(rest)
                .starts_with(|c: char| c.is_ascii_alphabetic())
        })
    })
}

fn is_file(text: &str) -> bool {
    let first = text.split([' ', '\t', ';']).next().unwrap_or(text);
    let drive = first.as_bytes().get(1) == Some(&b':') && first.as_bytes().get(2).is_some_and(|b| b"\\/".contains(b));
    let lower = first.get(..5).map(str::to_ascii_lowercase);
    if first.starts_with(['/', '~', '.']) && !first.starts_with("~=") || drive || lower.as_deref() == Some("file:") {
        return true;
    }
    // A slash or backslash before the first operator belongs to a path or a URL.
    let name_part = &first[..first
        .find(['=', '<', '>', '!', '@', '[', '(', ','])
        .unwrap_or(first.len())];
    name_part.contains(['/', '\\'])
}

fn is_several(text: &str) -> bool {
    if text.len() > SEARCHED_MAX {
        return false;
    }
    let is_separator = |c: char| c == ',' || c.is_whitespace();
    let words = || text.split(is_separator).filter(|word| !word.is_empty());
    if words().count() > 1 && words().all(has_project_name) {
        return true;
    }
    text.char_indices().filter(|&(_, c)| is_separator(c)).any(|(at, c)| {
        has_project_name(&text[at + c.len_utf8()..])
            && Requirement::parse(text[..at].trim_end_matches(is_separator)).is_ok()
    })
}

/// Whether a text is a requirement whose name is not a version or a conjunction.
fn has_project_name(text: &str) -> bool {
    let text = text.trim();
    let is_project_name = |name: &str| {
        let rest = name.strip_prefix(['v', 'V']).unwrap_or(name);
        !rest.starts_with(|c: char| c.is_ascii_digit())
            && !["and", "or", "in", "not", "if", "latest"].contains(&name.to_ascii_lowercase().as_str())
    };
    Requirement::parse(text).is_ok_and(|requirement| is_project_name(requirement.name()))
}
