//! A document as a tree in which every value and every key knows its place in the file.
//!
//! Aliases share what their anchors hold, so a tree is never larger than its text; only [`Node::expand`] multiplies, and
//! it works to a budget.

use std::rc::Rc;

use serde_json::{Map, Number, Value};

use cnbi_shared::path::{FieldId, Path};

/// A place in a file. Lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where the value begins. For an alias, where the alias stands.
    pub place: Place,
    /// Collections below this one, this one included.
    pub depth: usize,
    /// The value.
    pub data: Rc<Data>,
}

/// A value of JSON's types.
#[derive(Debug)]
pub enum Data {
    /// `null`
    Null {
        /// It was not written: there is nothing behind the key.
        is_implicit: bool,
    },
    /// `true` or `false`, and the word that stands for it in the file.
    Bool(bool, Box<str>),
    /// A number, and how it is written in the file.
    Number(Number, Box<str>),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// An object; a key that is there several times has the last value.
    Object(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: Rc<str>,
    /// Where the key stands.
    pub place: Place,
    /// The value.
    pub value: Node,
    /// It came from elsewhere by a merge key (`<<`).
    pub is_merged: bool,
}

/// A key that is written twice in one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The keys from the root to the object; list items are passed over.
    pub parents: Vec<Rc<str>>,
    /// The key.
    pub key: Rc<str>,
    /// Where it stands first.
    pub first: Place,
    /// Where it stands again.
    pub again: Place,
}

/// Aliases would make more of a document than anybody wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// Most duplicates that are told of one document.
const DUPLICATES: usize = 50;

impl Node {
    /// A value that holds no others.
    pub fn leaf(place: Place, data: Data) -> Self {
        Self {
            place,
            depth: 0,
            data: Rc::new(data),
        }
    }

    /// A list or an object.
    pub fn collection(place: Place, data: Data) -> Self {
        let below = match &data {
            Data::List(items) => items.iter().map(|item| item.depth).max(),
            Data::Object(entries) => entries.iter().map(|entry| entry.value.depth).max(),
            _ => None,
        };
        Self {
            place,
            depth: 1 + below.unwrap_or(0),
            data: Rc::new(data),
        }
    }

    /// The entry of an object that counts.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &*self.data {
            Data::Object(entries) => entries.iter().rev().find(|entry| &*entry.key == key),
            _ => None,
        }
    }

    /// The value behind a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The text behind a key, where there is text.
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

    /// Where a finding is: the value; where that is missing, the key of the object that it is missing from; and the key
    /// itself where that is what does not belong.
    pub fn locate(&self, path: &Path) -> Place {
        let mut node = self;
        let mut key_place = self.place;
        let mut place = self.place;
        for key in path.at.keys() {
            let Some(entry) = node.entry(key) else { return key_place };
            node = &entry.value;
            key_place = entry.place;
            place = entry.value_place();
        }
        match (path.index, &path.child) {
            (Some(index), _) => node
                .items()
                .and_then(|items| items.get(index))
                .map_or(place, |item| item.place),
            // Any key may be an annotation's; what is wrong about one is its value.
            (None, Some(child)) if path.at == FieldId::Annotations => {
                node.entry(child).map_or(key_place, Entry::value_place)
            }
            (None, Some(child)) => node.entry(child).map_or(key_place, |entry| entry.place),
            (None, None) => place,
        }
    }

    /// The value at a path, where there is one.
    pub fn find(&self, path: &Path) -> Option<&Self> {
        let node = path.at.keys().iter().try_fold(self, |node, key| node.get(key))?;
        match (path.index, &path.child) {
            (Some(index), _) => node.items()?.get(index),
            (None, Some(child)) => node.get(child),
            (None, None) => Some(node),
        }
    }

    /// The plain value, aliases written out, and the keys that are there twice. At most `budget` values and bytes of text.
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
    /// Where the value stands, or the key where nothing is written behind it.
    fn value_place(&self) -> Place {
        match &*self.value.data {
            Data::Null { is_implicit: true } => self.place,
            _ => self.value.place,
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
            let place = *first.entry(&*entry.key).or_insert(entry.place);
            if place != entry.place && self.duplicates.len() < DUPLICATES {
                self.duplicates.push(Duplicate {
                    parents: self.parents.clone(),
                    key: entry.key.clone(),
                    first: place,
                    again: entry.place,
                });
            }
        }
    }
}
