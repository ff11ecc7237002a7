//! Tells what pip would take for an option, a file or several requirements from what is merely a mistake.
//!
//! Only texts that the grammar refuses are looked at: a project may well be called `requirements.txt`.

use super::parse::{RequirementError, RequirementErrorKind};
use super::{Requirement, is_line_break, trim};

/// Longer texts are not searched for several requirements: an item has at most 512 characters.
const SEARCHED_MAX: usize = 1024;

/// Why an item of a package list is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each variant means")]
pub enum Refusal {
    /// Not a PEP 508 requirement.
    #[error(transparent)]
    Requirement(RequirementError),
    /// Something that would change the command line it ends up on.
    #[error(transparent)]
    CommandLine(CommandLine),
}

/// What pip would take a text for, other than a single requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each variant means")]
pub enum CommandLine {
    #[error("there is a line break inside: each requirement is an item of its own")]
    LineBreak,
    #[error("this holds an option of pip, and an item can only be a requirement")]
    Option,
    #[error("this is a path or a URL of a file; a package at a URL is written as name @ URL")]
    File,
    #[error("these are several requirements: each is an item of its own")]
    Several,
}

/// Parses one item of a package list.
///
/// An item that `packaging` refuses, or that has a line break inside, is refused in exactly one of the two ways.
pub fn admit(text: &str) -> Result<Requirement<'_>, Refusal> {
    Requirement::parse(text).map_err(|error| match command_line(trim(text), &error) {
        Some(found) => Refusal::CommandLine(found),
        None => Refusal::Requirement(error),
    })
}

fn command_line(text: &str, error: &RequirementError) -> Option<CommandLine> {
    if error.kind == RequirementErrorKind::LineBreak {
        return Some(CommandLine::LineBreak);
    }
    let shown = text.trim_matches(|c: char| c.is_whitespace() || is_line_break(c) || "'\"`".contains(c));
    if has_option(shown) {
        Some(CommandLine::Option)
    } else if is_file(shown) {
        Some(CommandLine::File)
    } else if is_several(shown) {
        Some(CommandLine::Several)
    } else {
        None
    }
}

/// A word that begins with a dash and goes on with a letter or a second dash.
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
    // A slash or a backslash in front of any operator is no part of a requirement, but of a path or a URL.
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
    if words().count() > 1 && words().all(is_named) {
        return true;
    }
    text.char_indices().filter(|&(_, c)| is_separator(c)).any(|(at, c)| {
        is_named(&text[at + c.len_utf8()..]) && Requirement::parse(text[..at].trim_end_matches(is_separator)).is_ok()
    })
}

/// A requirement whose name is unlike a version or a word between specifiers.
fn is_named(text: &str) -> bool {
    let text = text.trim();
    let unlike_version = |name: &str| {
        let rest = name.strip_prefix(['v', 'V']).unwrap_or(name);
        !rest.starts_with(|c: char| c.is_ascii_digit())
            && !["and", "or", "in", "not", "if", "latest"].contains(&name.to_ascii_lowercase().as_str())
    };
    Requirement::parse(text).is_ok_and(|requirement| unlike_version(requirement.name()))
}
