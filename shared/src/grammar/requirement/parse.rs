//! The requirement parser: name, extras, then either a URL or version specifiers, then a marker.

use super::cursor::Cursor;
use super::marker::{self, Marker};
use super::specifier::{self, Specifier, Specifiers};
use super::{Requirement, line_break};

/// Why and where a text is no requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct RequirementError {
    /// What is wrong.
    pub kind: RequirementErrorKind,
    /// Byte offset in the trimmed text at which parsing stopped.
    pub offset: usize,
}

/// What is wrong with a requirement. Each message is a whole clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says what each variant means")]
pub enum RequirementErrorKind {
    #[error("the requirement is empty")]
    Empty,
    #[error("there is a line break inside the requirement")]
    LineBreak,
    #[error(
        "a requirement begins with the project's name: a letter or a digit, then letters, digits, '.', '_' and '-'"
    )]
    Name,
    #[error("a project's name ends with a letter, a digit or an underscore")]
    NameEnd,
    #[error("the extras in brackets must be names separated by commas")]
    Extras,
    #[error("after the name come extras in brackets, version specifiers such as >=1.2, or a marker after ';'")]
    AfterName,
    #[error("{0:?} is no version specifier")]
    Specifier(String),
    #[error("the parenthesis around the version specifiers is not closed")]
    SpecifierParenthesis,
    #[error("'.*' can only follow a plain release number, after == or !=")]
    Wildcard,
    #[error("a local version (+...) can only be compared with == or !=")]
    LocalVersion,
    #[error("version specifiers are separated by commas, and a marker begins with ';'")]
    AfterSpecifiers,
    #[error("there is no URL after '@'")]
    Url,
    #[error("after the URL only white space and a marker with ';' may follow")]
    AfterUrl,
    #[error("the marker needs a variable such as python_version, or a quoted string, here")]
    MarkerOperand,
    #[error("the marker needs a comparison here: <=, <, !=, ==, >=, >, ~=, ===, in, not in")]
    MarkerOperator,
    #[error("a quoted string in the marker is not legal")]
    MarkerString,
    #[error("a parenthesis in the marker is not closed")]
    MarkerParenthesis,
    #[error("the parentheses of the marker nest too deep")]
    MarkerDepth,
    #[error("the marker's comparisons are joined by 'and' or 'or', and nothing may follow it")]
    AfterMarker,
}

pub(super) fn fail<T>(kind: RequirementErrorKind, cursor: &Cursor<'_>) -> Result<T, RequirementError> {
    Err(RequirementError {
        kind,
        offset: cursor.position(),
    })
}

/// Parses a requirement that has no white space around it.
pub(super) fn requirement(text: &str) -> Result<Requirement<'_>, RequirementError> {
    use RequirementErrorKind as Kind;

    if text.is_empty() {
        return Err(RequirementError {
            kind: Kind::Empty,
            offset: 0,
        });
    }
    if let Some(offset) = line_break(text) {
        return Err(RequirementError {
            kind: Kind::LineBreak,
            offset,
        });
    }
    let mut cursor = Cursor::new(text);
    cursor.skip_blanks();
    let Some(name) = cursor.identifier() else {
        return fail(Kind::Name, &cursor);
    };
    if matches!(cursor.peek(), Some(b'.' | b'-')) {
        return fail(Kind::NameEnd, &cursor);
    }
    cursor.skip_blanks();
    let extras = extras(&mut cursor)?;
    cursor.skip_blanks();
    let (specifiers, url) = if cursor.eat(b'@') {
        (Specifiers::default(), Some(url(&mut cursor)?))
    } else {
        (specifiers(&mut cursor)?, None)
    };
    let marker = marker_part(&mut cursor, url.is_some(), !specifiers.is_empty())?;
    Ok(Requirement {
        name,
        extras,
        specifiers,
        url,
        marker,
    })
}

fn extras<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<&'a str>, RequirementError> {
    let mut extras = Vec::new();
    if !cursor.eat(b'[') {
        return Ok(extras);
    }
    cursor.skip_blanks();
    if cursor.eat(b']') {
        return Ok(extras);
    }
    loop {
        let Some(extra) = cursor.identifier() else {
            return fail(RequirementErrorKind::Extras, cursor);
        };
        extras.push(extra);
        cursor.skip_blanks();
        if cursor.eat(b']') {
            return Ok(extras);
        }
        if !cursor.eat(b',') {
            return fail(RequirementErrorKind::Extras, cursor);
        }
        cursor.skip_blanks();
    }
}

fn url<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, RequirementError> {
    cursor.skip_blanks();
    let url = cursor.take_while(|b| b != b' ' && b != b'\t');
    if url.is_empty() {
        fail(RequirementErrorKind::Url, cursor)
    } else {
        Ok(url)
    }
}

fn specifiers<'a>(cursor: &mut Cursor<'a>) -> Result<Specifiers<'a>, RequirementError> {
    let parenthesis = cursor.eat(b'(');
    cursor.skip_blanks();
    let mut specifiers = specifier::List::new();
    let start = cursor.position();
    while let Some((specifier, length)) = Specifier::at_start(cursor.rest()) {
        specifiers.push(specifier);
        cursor.take(length);
        if cursor.rest().starts_with(".*") {
            return fail(RequirementErrorKind::Wildcard, cursor);
        }
        if cursor
            .rest()
            .strip_prefix('+')
            .is_some_and(|local| local.starts_with(|c: char| c.is_ascii_alphanumeric()))
        {
            return fail(RequirementErrorKind::LocalVersion, cursor);
        }
        cursor.skip_blanks();
        if !cursor.eat(b',') {
            break;
        }
        cursor.skip_blanks();
    }
    cursor.skip_blanks();
    if matches!(cursor.peek(), Some(b'=' | b'<' | b'>' | b'!' | b'~')) {
        let end = cursor.rest().find([',', ';', ')']).unwrap_or(cursor.rest().len());
        return fail(
            RequirementErrorKind::Specifier(cursor.rest()[..end].trim().chars().take(64).collect()),
            cursor,
        );
    }
    if parenthesis && !cursor.eat(b')') {
        return fail(RequirementErrorKind::SpecifierParenthesis, cursor);
    }
    Specifiers::new(specifiers).map_err(|bad| RequirementError {
        kind: RequirementErrorKind::Specifier(bad.to_owned()),
        offset: start,
    })
}

fn marker_part(
    cursor: &mut Cursor<'_>,
    after_url: bool,
    after_specifiers: bool,
) -> Result<Option<Marker>, RequirementError> {
    cursor.skip_blanks();
    if cursor.at_end() {
        return Ok(None);
    }
    if !cursor.eat(b';') {
        let kind = match (after_url, after_specifiers) {
            (true, _) => RequirementErrorKind::AfterUrl,
            (false, true) => RequirementErrorKind::AfterSpecifiers,
            (false, false) => RequirementErrorKind::AfterName,
        };
        return fail(kind, cursor);
    }
    marker::parse(cursor).map(Some)
}
