//! The requirement parser: name, extras, then either a URL or version specifiers, then a marker.

use super::cursor::Cursor;
use super::marker::{self, Marker};
use super::specifier::{self, Specifier, Specifiers};
use super::{Requirement, line_break};

/// Why a text is not a requirement, and where parsing stopped.
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
    #[error("the requirement contains a line break")]
    LineBreak,
    #[error("a requirement must begin with a project name: a letter or digit, then letters, digits, '.', '_' and '-'")]
    Name,
    #[error("a project name must end with a letter, digit or underscore")]
    NameEnd,
    #[error("the extras in brackets must be names separated by commas")]
    Extras,
    #[error("only extras in brackets, version specifiers such as >=1.2, or a marker after ';' may follow the name")]
    AfterName,
    #[error("`{}` is not a version specifier", .0.escape_debug())]
    Specifier(String),
    #[error("the parenthesis around the version specifiers is not closed")]
    SpecifierParenthesis,
    #[error("'.*' is only allowed after a release number with == or !=")]
    Wildcard,
    #[error("a local version (+...) is only allowed with == or !=")]
    LocalVersion,
    #[error("version specifiers must be separated by commas, and a marker must begin with ';'")]
    AfterSpecifiers,
    #[error("the URL after '@' is missing")]
    Url,
    #[error("only white space and a marker with ';' may follow the URL")]
    AfterUrl,
    #[error("the marker lacks a variable such as python_version, or a quoted string")]
    MarkerOperand,
    #[error("the marker lacks an operator: <=, <, !=, ==, >=, >, ~=, ===, in, not in")]
    MarkerOperator,
    #[error("a quoted string in the marker is invalid")]
    MarkerString,
    #[error("a parenthesis in the marker is not closed")]
    MarkerParenthesis,
    #[error("the parentheses in the marker are nested too deeply")]
    MarkerDepth,
    #[error("comparisons in a marker must be joined by 'and' or 'or', and nothing may follow the marker")]
    AfterMarker,
}

pub(super) fn fail<T>(kind: RequirementErrorKind, cursor: &Cursor<'_>) -> Result<T, RequirementError> {
    Err(RequirementError {
        kind,
        offset: cursor.position(),
    })
}

/// Parses a requirement without surrounding white space.
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
    let length = cursor.rest().find([' ', '\t']).unwrap_or(cursor.rest().len());
    let url = cursor.take(length);
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
