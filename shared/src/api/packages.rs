//! `spec.packageVersions` in bounded memory.
//!
//! A request can contain many more items than allowed. Only the allowed number is kept; further items are counted for rule CNB005 and hashed
//! for comparison.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::de::SeqAccess;
use serde::ser::{Serialize, Serializer};

use super::field::{Field, FieldType};
use super::limits;

/// The items of a list of packages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packages {
    items: Vec<Field<String>>,
    beyond: usize,
    hash: u64,
}

impl Packages {
    /// The first [`limits::PACKAGES`] items.
    pub fn items(&self) -> &[Field<String>] {
        &self.items
    }

    /// The number of all items.
    pub fn count(&self) -> usize {
        self.items.len() + self.beyond
    }
}

impl<'de> FieldType<'de> for Packages {
    const TYPE: &'static str = "a list";

    fn from_list<A: SeqAccess<'de>>(mut list: A) -> Result<Field<Self>, A::Error> {
        let mut read = Self::default();
        let mut hasher = DefaultHasher::new();
        while let Some(item) = list.next_element::<Field<String>>()? {
            if read.items.len() < limits::PACKAGES {
                read.items.push(item);
            } else {
                read.beyond += 1;
                item.hash(&mut hasher);
            }
        }
        read.hash = hasher.finish();
        Ok(Field::Set(read))
    }
}

impl Serialize for Packages {
    /// Only the kept items are serialized; a resource with more items is never built.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.items.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(items: &[String]) -> Packages {
        let list: Field<Packages> = serde_json::from_str(&format!("[{}]", items.join(","))).unwrap();
        list.value().unwrap().clone()
    }

    #[test]
    fn items_beyond_the_limit_are_counted_and_not_kept() {
        let count = 7 * (1 << 20) / 3;
        let packages = read(&vec!["\"\"".to_owned(); count]);
        assert_eq!(packages.count(), count);
        assert!(packages.items.capacity() <= 2 * limits::PACKAGES);
    }

    #[test]
    fn lists_that_differ_beyond_the_limit_are_unequal() {
        let mut items: Vec<String> = (0..limits::PACKAGES + 3).map(|index| format!("\"p{index}\"")).collect();
        let packages = read(&items);
        assert_eq!(packages, read(&items));
        for other in ["\"q\"", "7", "\"7\"", "null", "[]"] {
            let kept = std::mem::replace(&mut items[limits::PACKAGES + 1], other.to_owned());
            assert_ne!(packages, read(&items), "{other}");
            items[limits::PACKAGES + 1] = kept;
        }
        items.swap(limits::PACKAGES, limits::PACKAGES + 2);
        assert_ne!(packages, read(&items));
        items.truncate(limits::PACKAGES + 1);
        assert_eq!(read(&items).count(), limits::PACKAGES + 1);
    }

    #[test]
    fn a_wrong_type_does_not_affect_other_items() {
        let packages = read(&["\"a\"".to_owned(), "1".to_owned(), "\"b\"".to_owned()]);
        let [first, wrong, last] = packages.items() else {
            panic!("{packages:?}")
        };
        assert_eq!((first.text(), last.text()), (Some("a"), Some("b")));
        assert!(wrong.wrong_type().is_some());
    }
}
