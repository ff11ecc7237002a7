//! Splits a file into documents, so that a syntax error affects only one document.
//!
//! Like kubectl, splits at lines that start with `---` before parsing.

use super::node::{Node, Position};
use super::yaml::SyntaxError;
use super::{json, yaml};

/// The text between two separators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The text.
    pub text: &'a str,
    /// Number of the first line, from 1.
    pub line: usize,
    /// Position and description of valid YAML before it that kubectl rejects.
    pub rejected: Option<(Position, &'static str)>,
}

/// Splits a file. Pieces with only whitespace and comments are left out.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    Pieces {
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        line: 1,
        rejected: None,
    }
    .filter(|piece| piece.text.lines().any(|line| !is_blank(line)))
}

struct Pieces<'a> {
    rest: &'a str,
    line: usize,
    rejected: Option<(Position, &'static str)>,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let mut piece = Piece {
            text: self.rest,
            line: self.line,
            rejected: self.rejected.take(),
        };
        let mut offset = 0;
        let mut only_directives = true;
        for line in self.rest.split_inclusive('\n') {
            // A separator with content on its line is part of the next piece.
            let begins_piece = offset == 0 && piece.rejected.is_some();
            match separator(line) {
                Some(content) if !begins_piece => {
                    piece.text = &self.rest[..offset];
                    if content.is_empty() {
                        self.rest = &self.rest[offset + line.len()..];
                        self.line += 1;
                    } else {
                        self.rest = &self.rest[offset..];
                        let column = 1 + line.len() - line[3..].trim_start().len();
                        let position = Position {
                            line: self.line,
                            column,
                        };
                        self.rejected = Some((
                            position,
                            "kubectl allows only a comment after `---`; start the document on the next line",
                        ));
                    }
                    if only_directives && piece.text.contains('%') {
                        let line = piece.line + piece.text.lines().take_while(|line| is_blank(line)).count();
                        let position = Position { line, column: 1 };
                        self.rejected
                            .get_or_insert((position, "kubectl does not support `%` directives; remove the line"));
                        piece.text = "";
                    }
                    return Some(piece);
                }
                _ => {}
            }
            only_directives &= line.starts_with('%') || is_blank(line);
            offset += line.len();
            self.line += 1;
        }
        self.rest = "";
        Some(piece)
    }
}

/// The content after a separator on the same line, without comments. `None` if the line is not a separator.
fn separator(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("---")?;
    let content = rest.trim();
    if content.is_empty() || content.starts_with('#') {
        return Some("");
    }
    rest.starts_with([' ', '\t']).then_some(content)
}

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

/// Parses the documents of a piece, usually one.
pub fn documents(piece: &Piece<'_>) -> (Vec<Node>, Option<SyntaxError>) {
    if piece.text.trim_start().starts_with('{') {
        // kubectl parses JSON first, and YAML if that fails.
        let (objects, json_error) = json::read(piece.text, piece.line);
        let Some(json_error) = json_error else {
            return (objects, None);
        };
        let (documents, yaml_error) = yaml::read(piece.text, piece.line);
        return match yaml_error {
            None => (documents, None),
            Some(yaml_error) if objects.is_empty() && yaml_error.position >= json_error.position => {
                (documents, Some(yaml_error))
            }
            Some(_) => (objects, Some(json_error)),
        };
    }
    yaml::read(piece.text, piece.line)
}
