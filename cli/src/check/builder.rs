//! The parser's events to [`Node`]s: what tags, anchors, merge keys and odd keys mean, as kubectl decides it.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Marker, ScalarStyle, Span, Tag};

use super::node::{Data, Entry, Node, Place};
use super::scalar;
use super::yaml::DEPTH;

/// Values in one document, at most; each costs memory.
const VALUES: usize = 1_000_000;

/// The documents of one text under way.
#[derive(Default)]
pub struct Builder {
    /// Lines before the text.
    line: usize,
    open: Vec<Frame>,
    root: Option<Node>,
    anchors: HashMap<usize, Option<Node>>,
    values: usize,
}

struct Frame {
    place: Place,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Object { entries: Vec<Entry>, key: Option<Key> },
}

enum Key {
    Name(Rc<str>, Place),
    Merge,
}

/// What is wrong, and where.
pub type Fault = (Place, String);

impl Builder {
    /// Nothing has been read of a text that begins on this line.
    pub fn new(line: usize) -> Self {
        Self {
            line: line.max(1) - 1,
            ..Self::default()
        }
    }

    /// Where that is in the file.
    pub fn place(&self, marker: Marker) -> Place {
        Place {
            line: self.line + marker.line().max(1),
            column: marker.col() + 1,
        }
    }

    /// Takes the parser's next event. An error ends the document.
    pub fn event(&mut self, event: Event<'_>, span: Span, text: &str) -> Result<(), Fault> {
        let place = self.place(span.start);
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let value = match span.slice(text) {
                    Some(written) if style == ScalarStyle::SingleQuoted && value.contains(scalar::UNICODE_BREAKS) => {
                        scalar::fold(written).into()
                    }
                    _ => value,
                };
                let is_written = span.start != span.end;
                let node = Self::scalar(&value, style, tag.as_deref(), place, is_written)?;
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                self.value(node, anchor, is_plain)
            }
            Event::SequenceStart(_, anchor, _) => self.open(place, anchor, Content::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => self.open(
                place,
                anchor,
                Content::Object {
                    entries: Vec::new(),
                    key: None,
                },
            ),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(Some(node)) => {
                    let node = Node { place, ..node.clone() };
                    self.value(node, 0, false)
                }
                Some(None) => Err((place, "an anchor's value contains itself".to_owned())),
                None => Err((place, "an alias names no anchor before it".to_owned())),
            },
            _ => Ok(()),
        }
    }

    fn scalar(
        value: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        place: Place,
        is_written: bool,
    ) -> Result<Node, Fault> {
        let data = match tag.map(|tag| tag.suffix_in_namespace("tag:yaml.org,2002:")) {
            None if style == ScalarStyle::Plain => match scalar::plain(value) {
                Ok(Data::Null { .. }) => Data::Null {
                    is_implicit: !is_written,
                },
                Ok(data) => data,
                Err(scalar::NoJson) => return Err((place, format!("`{value}` is not a value that JSON has"))),
            },
            Some(Some(name)) => scalar::tagged(&name, value).map_err(|message| (place, message))?,
            None | Some(None) => Data::Text(value.to_owned()),
        };
        Ok(Node::leaf(place, data))
    }

    fn open(&mut self, place: Place, anchor: usize, content: Content) -> Result<(), Fault> {
        if self.open.len() >= DEPTH {
            return Err((place, format!("more than {DEPTH} levels are nested")));
        }
        if anchor != 0 {
            // Until it is closed, it cannot be an alias' value: that would hold itself.
            self.anchors.insert(anchor, None);
        }
        self.open.push(Frame { place, anchor, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some(Frame { place, anchor, content }) = self.open.pop() else {
            return Ok(());
        };
        let node = Node::collection(place, content.into_data());
        if node.depth > DEPTH {
            return Err((place, format!("more than {DEPTH} levels are nested")));
        }
        self.value(node, anchor, false)
    }

    /// Puts a finished value where it belongs. `may_merge`: as a key, `<<` asks for a merge.
    fn value(&mut self, node: Node, anchor: usize, may_merge: bool) -> Result<(), Fault> {
        self.count(1, node.place)?;
        if anchor != 0 {
            self.anchors.insert(anchor, Some(node.clone()));
        }
        let mut merged = 0;
        let place = node.place;
        match self.open.last_mut().map(|frame| &mut frame.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Object { entries, key }) => match key.take() {
                None => *key = Some(read_key(&node, may_merge)?),
                Some(Key::Name(name, place)) => {
                    entries.push(Entry {
                        key: name,
                        place,
                        value: node,
                        is_merged: false,
                    });
                }
                Some(Key::Merge) => merged = merge(&node, entries)?,
            },
        }
        self.count(merged, place)
    }

    fn count(&mut self, values: usize, place: Place) -> Result<(), Fault> {
        self.values += values;
        if self.values > VALUES {
            return Err((place, format!("the document has more than {VALUES} values")));
        }
        Ok(())
    }

    /// The document, unless it is empty.
    pub fn finish(&mut self) -> Option<Node> {
        self.anchors.clear();
        self.values = 0;
        self.root
            .take()
            .filter(|node| !matches!(&*node.data, Data::Null { .. }))
    }

    /// What there is of a document that breaks off.
    pub fn unwind(&mut self) -> Option<Node> {
        while let Some(Frame { place, content, .. }) = self.open.pop() {
            let node = Node::collection(place, content.into_data());
            match self.open.last_mut().map(|frame| &mut frame.content) {
                Some(Content::List(items)) => items.push(node),
                Some(Content::Object { entries, key }) => {
                    if let Some(Key::Name(name, place)) = key.take() {
                        entries.push(Entry {
                            key: name,
                            place,
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
            .map(|name| Key::Name(name.into(), node.place))
            .ok_or_else(|| {
                (
                    node.place,
                    "a key must be text: JSON has no lists, objects or null as keys".to_owned(),
                )
            }),
    }
}

/// Adds the entries of a merge key's value; how many. Of several objects, earlier ones win, and so are added later.
fn merge(value: &Node, entries: &mut Vec<Entry>) -> Result<usize, Fault> {
    let want = || {
        (
            value.place,
            "a merge key (`<<`) takes an object or a list of objects".to_owned(),
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
