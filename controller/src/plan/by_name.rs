//! A few values, each with its name, in less memory than a tree of them takes: there are thousands of such lists.

/// Values by name, in the order of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByName<T>(Box<[(Box<str>, T)]>);

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<T> ByName<T> {
    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&T> {
        let found = self.0.binary_search_by(|(of, _)| (**of).cmp(name)).ok()?;
        Some(&self.0[found].1)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    /// The same names with other values.
    pub fn map<U>(&self, of: impl Fn(&T) -> U) -> ByName<U> {
        let all = self.0.iter();
        ByName(all.map(|(name, value)| (name.clone(), of(value))).collect())
    }
}

impl<T> FromIterator<(String, T)> for ByName<T> {
    /// Of two values with one name, the later one counts.
    fn from_iter<I: IntoIterator<Item = (String, T)>>(all: I) -> Self {
        let all = all.into_iter();
        let mut kept: Vec<(Box<str>, T)> = all.map(|(name, value)| (name.into(), value)).collect();
        // The sort is stable: of one name the latest comes first, and stays.
        kept.reverse();
        kept.sort_by(|(left, _), (right, _)| left.cmp(right));
        kept.dedup_by(|(name, _), (before, _)| name == before);
        Self(kept.into_boxed_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_name_counts() {
        let all = [("b", 1), ("a", 2), ("b", 3)].map(|(name, value)| (name.to_owned(), value));
        let all: ByName<i32> = all.into_iter().collect();
        assert_eq!(all.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((all.get("a"), all.get("b"), all.get("c")), (Some(&2), Some(&3), None));
    }
}
