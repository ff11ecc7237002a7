//! A file as the documents in it, so that one that cannot be read hides no other.
//!
//! kubectl cuts a stream at lines that begin with `---` before it looks at the YAML, and so does this.

use super::node::{Node, Place};
use super::yaml::Broken;
use super::{json, yaml};

/// A stretch of a file between two separators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The text.
    pub text: &'a str,
    /// Number of its first line, from 1.
    pub line: usize,
    /// Something before it that kubectl does not take, though YAML does.
    pub refused: Option<(Place, &'static str)>,
}

/// Cuts a file at its separators. Stretches of nothing but blanks and comments are left out.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    Pieces {
        rest: text.strip_prefix('\u{feff}').unwrap_or(text),
        line: 1,
        refused: None,
    }
    .filter(|piece| piece.text.lines().any(|line| !is_blank(line)))
}

struct Pieces<'a> {
    rest: &'a str,
    line: usize,
    refused: Option<(Place, &'static str)>,
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
            refused: self.refused.take(),
        };
        let mut offset = 0;
        let mut only_directives = true;
        for line in self.rest.split_inclusive('\n') {
            // The separator that content follows on its line begins the piece that it was left to.
            let begins_piece = offset == 0 && piece.refused.is_some();
            match separator(line) {
                Some(content) if !begins_piece => {
                    piece.text = &self.rest[..offset];
                    if content.is_empty() {
                        self.rest = &self.rest[offset + line.len()..];
                        self.line += 1;
                    } else {
                        self.rest = &self.rest[offset..];
                        let column = 1 + line.len() - line[3..].trim_start().len();
                        let place = Place {
                            line: self.line,
                            column,
                        };
                        self.refused = Some((
                            place,
                            "kubectl takes nothing but a comment behind `---`; begin the document on the next line",
                        ));
                    }
                    if only_directives && piece.text.contains('%') {
                        let line = piece.line + piece.text.lines().take_while(|line| is_blank(line)).count();
                        let place = Place { line, column: 1 };
                        self.refused
                            .get_or_insert((place, "kubectl does not take a `%` directive; take the line out"));
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

/// What follows the separator on its line, without a comment. `None`: the line is none.
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

/// Reads the documents of a piece, usually one.
pub fn documents(piece: &Piece<'_>) -> (Vec<Node>, Option<Broken>) {
    if piece.text.trim_start().starts_with('{') {
        // kubectl reads JSON where it can, and otherwise the same text as YAML.
        let (objects, json_error) = json::read(piece.text, piece.line);
        let Some(json_error) = json_error else {
            return (objects, None);
        };
        let (documents, yaml_error) = yaml::read(piece.text, piece.line);
        return match yaml_error {
            None => (documents, None),
            Some(yaml_error) if objects.is_empty() && yaml_error.place >= json_error.place => {
                (documents, Some(yaml_error))
            }
            Some(_) => (objects, Some(json_error)),
        };
    }
    yaml::read(piece.text, piece.line)
}
