//! Changes values and adds keys in the text of a manifest. Comments, order and style of everything else are kept.
//!
//! Values with anchors or tags, values inside anchored collections, and values with several lines are not changed.

use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StructureStyle};

use super::node::{Data, Position};
use super::scalar;
use super::split::{self, Piece};
use super::yaml::DEPTH;

/// A replacement of a range of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Bytes to replace; empty for an insertion.
    pub range: Range<usize>,
    /// New text.
    pub text: String,
}

/// Byte ranges of the scalars and objects of a text.
#[derive(Debug, Default)]
pub struct Index {
    scalars: HashMap<Position, Scalar>,
    objects: HashMap<Position, Object>,
}

#[derive(Debug)]
struct Scalar {
    range: Range<usize>,
    style: ScalarStyle,
    value: String,
}

#[derive(Clone, Copy, Debug)]
struct Object {
    /// Offset at which a key can be inserted.
    at: usize,
    /// Indentation of the keys; `None` in flow style.
    indent: Option<usize>,
    is_empty: bool,
}

impl Index {
    /// Reads a text up to the first syntax error of each document.
    pub fn of(text: &str) -> Self {
        let mut index = Self::default();
        for piece in split::pieces(text) {
            // The piece is a slice of the text.
            let offset = piece.text.as_ptr().addr() - text.as_ptr().addr();
            index.read(&piece, offset);
        }
        index
    }

    fn read(&mut self, piece: &Piece<'_>, offset: usize) {
        let mut options = Options::default();
        options.set_emit_comments(false);
        options.flow_nesting_limit = DEPTH;
        options.block_nesting_limit = DEPTH;
        options.bom_inside_document_as_content = true;
        let mut open: Vec<Open> = Vec::new();
        for next in Parser::new_from_str_with_options(piece.text, options) {
            let Ok((event, span)) = next else { return };
            let Some(range) = span.byte_range() else { return };
            let range = offset + range.start..offset + range.end;
            let position = position(piece, span);
            let is_shared = open.last().is_some_and(|open| open.is_shared);
            match event {
                Event::Scalar(value, style, anchor, tag) => {
                    self.child(&mut open, &range, position);
                    let is_one_line = matches!(
                        style,
                        ScalarStyle::Plain | ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted
                    ) && span.start.line() == span.end.line();
                    if anchor == 0 && tag.is_none() && !is_shared && is_one_line && !range.is_empty() {
                        let value = value.into_owned();
                        self.scalars.insert(position, Scalar { range, style, value });
                    }
                }
                Event::Alias(_) => self.child(&mut open, &range, position),
                Event::SequenceStart(_, anchor, _) => {
                    self.child(&mut open, &range, position);
                    open.push(Open {
                        is_shared: is_shared || anchor != 0,
                        object: None,
                    });
                }
                Event::MappingStart(style, anchor, _) => {
                    self.child(&mut open, &range, position);
                    let is_shared = is_shared || anchor != 0;
                    let is_flow = style == StructureStyle::Flow;
                    if is_flow && !is_shared {
                        let object = Object {
                            at: range.start + 1,
                            indent: None,
                            is_empty: true,
                        };
                        self.objects.insert(position, object);
                    }
                    open.push(Open {
                        is_shared,
                        object: (!is_shared).then_some((position, is_flow)),
                    });
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    open.pop();
                }
                _ => {}
            }
        }
    }

    /// Handles the first key of an object: its position in block style, and that the object is not empty in flow style.
    fn child(&mut self, open: &mut [Open], range: &Range<usize>, key: Position) {
        let Some((position, is_flow)) = open.last_mut().and_then(|open| open.object.take()) else {
            return;
        };
        if is_flow {
            if let Some(object) = self.objects.get_mut(&position) {
                object.is_empty = false;
            }
        } else {
            let object = Object {
                at: range.start,
                indent: Some(key.column - 1),
                is_empty: false,
            };
            self.objects.insert(position, object);
        }
    }

    /// The edit that replaces the scalar at a position. `None` if its value is not `before`, or if it cannot be changed.
    pub fn replace(&self, position: Position, before: &str, after: &str) -> Option<Edit> {
        let scalar = self.scalars.get(&position)?;
        let text = match scalar.style {
            ScalarStyle::SingleQuoted if !after.contains(char::is_control) => {
                format!("'{}'", after.replace('\'', "''"))
            }
            ScalarStyle::Plain => plain_or_quoted(after),
            _ => quoted(after),
        };
        (scalar.value == before).then(|| Edit {
            range: scalar.range.clone(),
            text,
        })
    }

    /// The edit that adds keys with string values to the object at a position, or to a new object under the key `parent`.
    pub fn insert(&self, position: Position, parent: Option<&str>, entries: &[(&str, &str)]) -> Option<Edit> {
        let object = self.objects.get(&position)?;
        let mut text = String::new();
        if let Some(indent) = object.indent {
            let margin = "\n".to_owned() + &" ".repeat(indent);
            if let Some(parent) = parent {
                text = format!("{parent}:{margin}  ");
            }
            let lines = entries
                .iter()
                .map(|(key, value)| format!("{key}: {}", plain_or_quoted(value)));
            let below = if parent.is_some() { "  " } else { "" };
            text.push_str(&lines.collect::<Vec<_>>().join(&format!("{margin}{below}")));
            text.push_str(&margin);
        } else {
            let pairs = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", quoted(key), quoted(value)));
            let pairs = pairs.collect::<Vec<_>>().join(", ");
            match parent {
                Some(parent) => text = format!("{}: {{{pairs}}}", quoted(parent)),
                None => text.push_str(&pairs),
            }
            if !object.is_empty {
                text.push_str(", ");
            }
        }
        let range = object.at..object.at;
        Some(Edit { range, text })
    }
}

struct Open {
    /// It has an anchor, so aliases may refer to it.
    is_shared: bool,
    /// Position of an object without keys so far, and whether it is in flow style.
    object: Option<(Position, bool)>,
}

fn position(piece: &Piece<'_>, span: Span) -> Position {
    Position {
        line: piece.line.max(1) - 1 + span.start.line().max(1),
        column: span.start.col() + 1,
    }
}

/// Applies all edits that do not overlap. Identical edits are applied once.
pub fn apply(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by(|a, b| (a.range.start, a.range.end, &a.text).cmp(&(b.range.start, b.range.end, &b.text)));
    edits.dedup();
    let clashes =
        |a: &Edit, b: &Edit| a.range == b.range || (a.range.start < b.range.end && b.range.start < a.range.end);
    let alone: Vec<&Edit> = edits
        .iter()
        .enumerate()
        .filter(|(at, edit)| {
            let before = at.checked_sub(1).and_then(|at| edits.get(at));
            ![before, edits.get(at + 1)]
                .into_iter()
                .flatten()
                .any(|other| clashes(edit, other))
        })
        .map(|(_, edit)| edit)
        .collect();
    let mut edited = String::with_capacity(text.len() + 64);
    let mut done = 0;
    for edit in alone {
        // Always a valid range, because the parser read the same text.
        let Some(kept) = text.get(done..edit.range.start) else {
            continue;
        };
        edited.push_str(kept);
        edited.push_str(&edit.text);
        done = edit.range.end;
    }
    edited.push_str(text.get(done..).unwrap_or_default());
    edited
}

/// The text as a YAML scalar, without quotes if every YAML parser reads it as this string.
pub fn plain_or_quoted(text: &str) -> String {
    let is_safe = |character: char| character.is_ascii_alphanumeric() || "._/@+-=<>!~:".contains(character);
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(is_safe)
        && !text.ends_with(':')
        && matches!(scalar::plain(text), Ok(Data::Text(_)));
    if is_plain { text.to_owned() } else { quoted(text) }
}

/// In double quotes, valid in JSON and YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, column: usize) -> Position {
        Position { line, column }
    }

    #[test]
    fn only_the_value_is_changed() {
        let text = "# é\na: 3.10 # keep\nb: 'x y' \nc: [\"x\", p=1]\r\n---\nd: x\n";
        let index = Index::of(text);
        for (position, before, after, expected) in [
            (at(2, 4), "3.10", "3.10", "a: \"3.10\" # keep\n"),
            (at(3, 4), "x y", "it's", "b: 'it''s' \n"),
            (at(4, 5), "x", "a\"b", "c: [\"a\\\"b\", p=1]\r\n"),
            (at(4, 10), "p=1", "p==1", "c: [\"x\", p==1]\r\n"),
            (at(6, 4), "x", "quay.io/x:v1", "d: quay.io/x:v1\n"),
            (at(6, 4), "x", "a, b", "d: \"a, b\"\n"),
        ] {
            let edited = apply(text, vec![index.replace(position, before, after).unwrap()]);
            let line = edited.split_inclusive('\n').nth(position.line - 1).unwrap();
            assert_eq!(line, expected);
            let others = |text: &str| -> Vec<String> {
                let lines = text.split_inclusive('\n').enumerate();
                lines
                    .filter(|(number, _)| number + 1 != position.line)
                    .map(|(_, line)| line.to_owned())
                    .collect()
            };
            assert_eq!(others(&edited), others(text));
        }
    }

    #[test]
    fn anchored_tagged_and_multiline_values_are_not_changed() {
        let text = "a: &x p\nb: *x\nc: &y {d: p}\ne: !!str p\nf: |\n  p\ng: \"p\n  q\"\nh: p\n";
        let index = Index::of(text);
        for position in [at(1, 7), at(2, 4), at(3, 12), at(4, 10), at(5, 4), at(7, 4)] {
            assert_eq!(index.replace(position, "p", "q"), None, "{position:?}");
        }
        assert!(index.replace(at(9, 4), "p", "q").is_some());
        // The value is not the expected one.
        assert_eq!(index.replace(at(9, 4), "other", "q"), None);
    }

    #[test]
    fn conflicting_edits_are_not_applied() {
        let edit = |text: &str| Edit {
            range: 0..1,
            text: text.to_owned(),
        };
        assert_eq!(apply("abc", vec![edit("x"), edit("y")]), "abc");
        assert_eq!(apply("abc", vec![edit("x"), edit("x")]), "xbc");
    }

    #[test]
    fn keys_are_added_in_the_style_of_their_object() {
        let text = "m:\n  # first\n  name: x\ns: {a: b}\ne: {}\n";
        let index = Index::of(text);
        let block = index
            .insert(at(3, 3), Some("annotations"), &[("k/l", "a b"), ("m", "n1")])
            .unwrap();
        assert_eq!(
            apply(text, vec![block]),
            text.replace("  name: x", "  annotations:\n    k/l: \"a b\"\n    m: n1\n  name: x")
        );
        let block = index.insert(at(3, 3), None, &[("k", "v"), ("l", "w")]).unwrap();
        assert_eq!(
            apply(text, vec![block]),
            text.replace("  name: x", "  k: v\n  l: w\n  name: x")
        );
        let flow = index.insert(at(4, 4), Some("p"), &[("k", "v")]).unwrap();
        assert_eq!(
            apply(text, vec![flow]),
            text.replace("{a: b}", "{\"p\": {\"k\": \"v\"}, a: b}")
        );
        let empty = index.insert(at(5, 4), None, &[("k", "v")]).unwrap();
        assert_eq!(apply(text, vec![empty]), text.replace("{}", "{\"k\": \"v\"}"));
    }
}
