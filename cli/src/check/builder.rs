//! Builds [`Node`]s from parser events. Tags, anchors, merge keys and non-string keys are handled like in kubectl.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Marker, ScalarStyle, Span, Tag};

use super::node::{Data, Entry, Node, Position};
use super::scalar;
use super::yaml::DEPTH;

/// Maximum number of values of a document, to bound memory.
const VALUES: usize = 1_000_000;

/// State while the documents of a text are read.
#[derive(Default)]
pub struct Builder {
    /// Number of lines before the text.
    line: usize,
    open: Vec<Frame>,
    root: Option<Node>,
    anchors: HashMap<usize, Option<Node>>,
    values: usize,
}

struct Frame {
    position: Position,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Object { entries: Vec<Entry>, key: Option<Key> },
}

enum Key {
    Name(Rc<str>, Position),
    Merge,
}

/// Position and message of an error.
pub type Fault = (Position, String);

impl Builder {
    /// Starts a text whose first line has this number.
    pub fn new(line: usize) -> Self {
        Self {
            line: line.max(1) - 1,
            ..Self::default()
        }
    }

    /// Position in the file.
    pub fn position(&self, marker: Marker) -> Position {
        Position {
            line: self.line + marker.line().max(1),
            column: marker.col() + 1,
        }
    }

    /// Processes an event. An error ends the document.
    pub fn event(&mut self, event: Event<'_>, span: Span, text: &str) -> Result<(), Fault> {
        let position = self.position(span.start);
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let value = match span.slice(text) {
                    Some(written) if style == ScalarStyle::SingleQuoted && value.contains(scalar::UNICODE_BREAKS) => {
                        scalar::fold(written).into()
                    }
                    _ => value,
                };
                let is_written = span.start != span.end;
                let node = Self::scalar(&value, style, tag.as_deref(), position, is_written)?;
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                self.value(node, anchor, is_plain)
            }
            Event::SequenceStart(_, anchor, _) => self.open(position, anchor, Content::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => self.open(
                position,
                anchor,
                Content::Object {
                    entries: Vec::new(),
                    key: None,
                },
            ),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(Some(node)) => {
                    let node = Node {
                        position,
                        ..node.clone()
                    };
                    self.value(node, 0, false)
                }
                Some(None) => Err((position, "the value of an anchor contains itself".to_owned())),
                None => Err((position, "an alias without an anchor before it".to_owned())),
            },
            _ => Ok(()),
        }
    }

    fn scalar(
        value: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        position: Position,
        is_written: bool,
    ) -> Result<Node, Fault> {
        let data = match tag.map(|tag| tag.suffix_in_namespace("tag:yaml.org,2002:")) {
            None if style == ScalarStyle::Plain => match scalar::plain(value) {
                Ok(Data::Null { .. }) => Data::Null {
                    is_implicit: !is_written,
                },
                Ok(data) => data,
                Err(scalar::NoJson) => return Err((position, format!("`{value}` does not exist in JSON"))),
            },
            Some(Some(name)) => scalar::tagged(&name, value).map_err(|message| (position, message))?,
            None | Some(None) => Data::Text(value.to_owned()),
        };
        Ok(Node::leaf(position, data))
    }

    fn open(&mut self, position: Position, anchor: usize, content: Content) -> Result<(), Fault> {
        if self.open.len() >= DEPTH {
            return Err((position, format!("more than {DEPTH} levels are nested")));
        }
        if anchor != 0 {
            // No alias can refer to it until it is complete: it would contain itself.
            self.anchors.insert(anchor, None);
        }
        self.open.push(Frame {
            position,
            anchor,
            content,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some(Frame {
            position,
            anchor,
            content,
        }) = self.open.pop()
        else {
            return Ok(());
        };
        let node = Node::collection(position, content.into_data());
        if node.depth > DEPTH {
            return Err((position, format!("more than {DEPTH} levels are nested")));
        }
        self.value(node, anchor, false)
    }

    /// Adds a complete value to its parent. `may_merge`: the key `<<` is a merge key.
    fn value(&mut self, node: Node, anchor: usize, may_merge: bool) -> Result<(), Fault> {
        self.count(1, node.position)?;
        if anchor != 0 {
            self.anchors.insert(anchor, Some(node.clone()));
        }
        let mut merged = 0;
        let position = node.position;
        match self.open.last_mut().map(|frame| &mut frame.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Object { entries, key }) => match key.take() {
                None => *key = Some(read_key(&node, may_merge)?),
                Some(Key::Name(name, position)) => {
                    entries.push(Entry {
                        key: name,
                        position,
                        value: node,
                        is_merged: false,
                    });
                }
                Some(Key::Merge) => merged = merge(&node, entries)?,
            },
        }
        self.count(merged, position)
    }

    fn count(&mut self, values: usize, position: Position) -> Result<(), Fault> {
        self.values += values;
        if self.values > VALUES {
            return Err((position, format!("the document has more than {VALUES} values")));
        }
        Ok(())
    }

    /// Returns the document, unless it is empty.
    pub fn finish(&mut self) -> Option<Node> {
        self.anchors.clear();
        self.values = 0;
        self.root
            .take()
            .filter(|node| !matches!(&*node.data, Data::Null { .. }))
    }

    /// Returns the part of a document before an error.
    pub fn unwind(&mut self) -> Option<Node> {
        while let Some(Frame { position, content, .. }) = self.open.pop() {
            let node = Node::collection(position, content.into_data());
            match self.open.last_mut().map(|frame| &mut frame.content) {
                Some(Content::List(items)) => items.push(node),
                Some(Content::Object { entries, key }) => {
                    if let Some(Key::Name(name, position)) = key.take() {
                        entries.push(Entry {
                            key: name,
                            position,
                            value: node,
                            is_merged: false,
                        });
                    }
                }
                None => self.root = Some(node),
            }
        }
        self.root.take()
    }
}

impl Content {
    fn into_data(self) -> Data {
        match self {
            Self::List(items) => Data::List(items),
            Self::Object { entries, .. } => Data::Object(entries),
        }
    }
}

fn read_key(node: &Node, may_merge: bool) -> Result<Key, Fault> {
    match &*node.data {
        Data::Text(text) if may_merge && text == "<<" => Ok(Key::Merge),
        data => scalar::key(data)
            .map(|name| Key::Name(name.into(), node.position))
            .ok_or_else(|| {
                (
                    node.position,
                    "a key must be a string; JSON does not allow lists, objects or null as keys".to_owned(),
                )
            }),
    }
}

/// Adds the entries of a merge key's value and returns their number. Later entries override earlier ones, and the first object
/// of a list has the highest priority, so a list is added in reverse order.
fn merge(value: &Node, entries: &mut Vec<Entry>) -> Result<usize, Fault> {
    let want = || {
        (
            value.position,
            "the value of a merge key (`<<`) must be an object or a list of objects".to_owned(),
        )
    };
    let before = entries.len();
    let mut add = |node: &Node| match &*node.data {
        Data::Object(from) => {
            entries.extend(from.iter().map(|entry| Entry {
                is_merged: true,
                ..entry.clone()
            }));
            Ok(())
        }
        _ => Err(want()),
    };
    match &*value.data {
        Data::List(items) => items.iter().rev().try_for_each(&mut add)?,
        _ => add(value)?,
    }
    Ok(entries.len() - before)
}
