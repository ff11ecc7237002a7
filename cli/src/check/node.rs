//! A document as a tree of values and keys with positions.
//!
//! Aliases share the values of their anchors, so a tree is not larger than its text. Only [`Node::expand`] copies them, with a
//! limit.

use std::rc::Rc;

use serde_json::{Map, Number, Value};

use cnbi_shared::path::{FieldId, Path};

/// A position in a file. Lines and columns start at 1; columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// A value and its position.
#[derive(Clone, Debug)]
pub struct Node {
    /// Start of the value, or of the alias.
    pub position: Position,
    /// Depth of nested collections, including this one.
    pub depth: usize,
    /// The value.
    pub data: Rc<Data>,
}

/// A JSON value.
#[derive(Debug)]
pub enum Data {
    /// `null`
    Null {
        /// The key has no value.
        is_implicit: bool,
    },
    /// `true` or `false`, and its source text.
    Bool(bool, Box<str>),
    /// A number, and its source text.
    Number(Number, Box<str>),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// An object. The last of duplicate keys is used.
    Object(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: Rc<str>,
    /// Position of the key.
    pub position: Position,
    /// The value.
    pub value: Node,
    /// Added by a merge key (`<<`).
    pub is_merged: bool,
}

/// A duplicate key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Keys from the root to the object, without list items.
    pub parents: Vec<Rc<str>>,
    /// The key.
    pub key: Rc<str>,
    /// First position.
    pub first: Position,
    /// Second position.
    pub again: Position,
}

/// The document exceeds the limit after the expansion of aliases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// Maximum number of duplicates of a document.
const DUPLICATES: usize = 50;

impl Node {
    /// A scalar.
    pub fn leaf(position: Position, data: Data) -> Self {
        Self {
            position,
            depth: 0,
            data: Rc::new(data),
        }
    }

    /// A list or an object.
    pub fn collection(position: Position, data: Data) -> Self {
        let below = match &data {
            Data::List(items) => items.iter().map(|item| item.depth).max(),
            Data::Object(entries) => entries.iter().map(|entry| entry.value.depth).max(),
            _ => None,
        };
        Self {
            position,
            depth: 1 + below.unwrap_or(0),
            data: Rc::new(data),
        }
    }

    /// The effective entry of a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &*self.data {
            Data::Object(entries) => entries.iter().rev().find(|entry| &*entry.key == key),
            _ => None,
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The value of a key, if it is a string.
    pub fn text(&self, key: &str) -> Option<&str> {
        match &*self.get(key)?.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn items(&self) -> Option<&[Self]> {
        match &*self.data {
            Data::List(items) => Some(items),
            _ => None,
        }
    }

    /// Position of a finding: the value; for a missing value the key of the object that lacks it; for an unknown key the key.
    pub fn locate(&self, path: &Path) -> Position {
        let mut node = self;
        let mut key_position = self.position;
        let mut position = self.position;
        for key in path.field.keys() {
            let Some(entry) = node.entry(key) else {
                return key_position;
            };
            node = &entry.value;
            key_position = entry.position;
            position = entry.value_position();
        }
        match (path.index, &path.unknown_key) {
            (Some(index), _) => node
                .items()
                .and_then(|items| items.get(index))
                .map_or(position, |item| item.position),
            // Annotations have no unknown keys, so the value is wrong.
            (None, Some(child)) if path.field == FieldId::Annotations => {
                node.entry(child).map_or(key_position, Entry::value_position)
            }
            (None, Some(child)) => node.entry(child).map_or(key_position, |entry| entry.position),
            (None, None) => position,
        }
    }

    /// The value at a path.
    pub fn find(&self, path: &Path) -> Option<&Self> {
        let node = path.field.keys().iter().try_fold(self, |node, key| node.get(key))?;
        match (path.index, &path.unknown_key) {
            (Some(index), _) => node.items()?.get(index),
            (None, Some(child)) => node.get(child),
            (None, None) => Some(node),
        }
    }

    /// Returns the JSON value with expanded aliases, and duplicate keys. `budget` limits the number of values and bytes.
    pub fn expand(&self, budget: usize) -> Result<(Value, Vec<Duplicate>), TooLarge> {
        let mut expansion = Expansion {
            budget,
            parents: Vec::new(),
            duplicates: Vec::new(),
        };
        let value = expansion.value(self)?;
        Ok((value, expansion.duplicates))
    }
}

impl Entry {
    /// Position of the value, or of the key if it has no value.
    fn value_position(&self) -> Position {
        match &*self.value.data {
            Data::Null { is_implicit: true } => self.position,
            _ => self.value.position,
        }
    }
}

struct Expansion {
    budget: usize,
    parents: Vec<Rc<str>>,
    duplicates: Vec<Duplicate>,
}

impl Expansion {
    fn spend(&mut self, weight: usize) -> Result<(), TooLarge> {
        self.budget = self.budget.checked_sub(1 + weight).ok_or(TooLarge)?;
        Ok(())
    }

    fn value(&mut self, node: &Node) -> Result<Value, TooLarge> {
        self.spend(0)?;
        Ok(match &*node.data {
            Data::Null { .. } => Value::Null,
            Data::Bool(value, _) => Value::Bool(*value),
            Data::Number(number, _) => Value::Number(number.clone()),
            Data::Text(text) => {
                self.spend(text.len())?;
                Value::String(text.clone())
            }
            Data::List(items) => Value::Array(items.iter().map(|item| self.value(item)).collect::<Result<_, _>>()?),
            Data::Object(entries) => {
                let mut map = Map::new();
                self.duplicates(entries);
                for entry in entries {
                    self.spend(entry.key.len())?;
                    self.parents.push(entry.key.clone());
                    let value = self.value(&entry.value)?;
                    self.parents.pop();
                    map.insert(entry.key.to_string(), value);
                }
                Value::Object(map)
            }
        })
    }

    fn duplicates(&mut self, entries: &[Entry]) {
        let mut first = std::collections::HashMap::new();
        for entry in entries.iter().filter(|entry| !entry.is_merged) {
            let position = *first.entry(&*entry.key).or_insert(entry.position);
            if position != entry.position && self.duplicates.len() < DUPLICATES {
                self.duplicates.push(Duplicate {
                    parents: self.parents.clone(),
                    key: entry.key.clone(),
                    first: position,
                    again: entry.position,
                });
            }
        }
    }
}
