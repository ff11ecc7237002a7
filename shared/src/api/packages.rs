//! `spec.packageVersions` as it was sent, in memory that is bounded whatever was sent.
//!
//! Many times more items than anybody may write fit into a request, each of a few bytes there and of many here. So only as
//! many are kept as may be written; of the rest there is a count, which rule CNB005 tells, and a hash, by which two lists
//! are still told apart.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::de::SeqAccess;
use serde::ser::{Serialize, Serializer};

use super::field::{Expected, Field};
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

    /// How many items there are, also of those that are not kept.
    pub fn count(&self) -> usize {
        self.items.len() + self.beyond
    }
}

impl<'de> Expected<'de> for Packages {
    const TYPE: &'static str = "array";

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
    /// What is not kept is not written: nothing is ever built of a resource that has so many.
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
    fn seven_mebibytes_of_tiny_items_are_counted_and_not_kept() {
        let count = 7 * (1 << 20) / 3;
        let packages = read(&vec!["\"\"".to_owned(); count]);
        assert_eq!(packages.count(), count);
        assert!(packages.items.capacity() <= 2 * limits::PACKAGES);
    }

    #[test]
    fn lists_that_differ_only_in_what_is_not_kept_are_told_apart() {
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
    fn a_wrong_item_leaves_its_neighbours_readable() {
        let packages = read(&["\"a\"".to_owned(), "1".to_owned(), "\"b\"".to_owned()]);
        let [first, wrong, last] = packages.items() else {
            panic!("{packages:?}")
        };
        assert_eq!((first.text(), last.text()), (Some("a"), Some("b")));
        assert!(wrong.wrong().is_some());
    }
}
