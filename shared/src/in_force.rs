//! The configuration in force: the last one that could be taken, and what is wrong with the text that stands there now.
//!
//! A slip in a policy must not switch the policy off, so a text that cannot be taken changes nothing but
//! [`InForce::refused`]. Reading the ConfigMap is the programs' business.

use std::sync::Arc;

use crate::config::Config;
use crate::verdict::escaped;

/// Most characters of a reason; the error of a configuration may quote much of it.
const SHOWN: usize = 1000;

/// What a program knows of its configuration. Starts with none.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    taken: Option<(Arc<Config>, String)>,
    refused: Option<String>,
}

/// What came of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in force from now on, and says something else than the one before.
    Changed,
    /// It says what is in force already.
    Same,
    /// It could not be taken; [`InForce::refused`] says why.
    Refused,
}

impl InForce {
    /// Takes what the ConfigMap says now. `text` is `None` where there is no ConfigMap, or no such key in it; `version` is
    /// its resourceVersion.
    pub fn take(&mut self, text: Option<&str>, version: &str) -> Taken {
        let read = match text {
            Some(text) => Config::from_yaml(text).map_err(|error| error.to_string()),
            None => Err(format!("there is no ConfigMap with the key {}", crate::config::KEY)),
        };
        match read {
            Ok(config) => {
                self.refused = None;
                let same = self.config().is_some_and(|current| **current == config);
                self.taken = Some((Arc::new(config), version.to_owned()));
                if same { Taken::Same } else { Taken::Changed }
            }
            Err(why) => {
                // Below the first line an error draws where it is.
                self.refused = Some(escaped(why.lines().next().unwrap_or_default(), SHOWN));
                Taken::Refused
            }
        }
    }

    /// The configuration in force; `None` until there was a good one.
    pub fn config(&self) -> Option<&Arc<Config>> {
        self.taken.as_ref().map(|(config, _)| config)
    }

    /// The resourceVersion of the ConfigMap that the configuration in force was read from.
    pub fn version(&self) -> Option<&str> {
        self.taken.as_ref().map(|(_, version)| version.as_str())
    }

    /// Why what stands in the ConfigMap now is not in force, safe to print on one line.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_good_one_stays_in_force() {
        let mut in_force = InForce::default();
        assert_eq!(in_force.take(None, ""), Taken::Refused);
        assert!(in_force.config().is_none());
        assert_eq!(in_force.take(Some("images: {allowed: [quay.io]}"), "1"), Taken::Changed);
        let good = Arc::clone(in_force.config().unwrap());
        for bad in [None, Some("imagse: {}"), Some("rules: {CNB000: Off}")] {
            assert_eq!(in_force.take(bad, "2"), Taken::Refused);
            assert_eq!(in_force.config(), Some(&good));
            assert_eq!(in_force.version(), Some("1"));
        }
        assert!(
            in_force.refused().unwrap().starts_with("rules.CNB000: "),
            "{in_force:?}"
        );
    }

    #[test]
    fn a_good_one_ends_the_complaint() {
        let mut in_force = InForce::default();
        in_force.take(Some("nonsense"), "1");
        assert_eq!(in_force.take(Some(""), "2"), Taken::Changed);
        assert_eq!(in_force.refused(), None);
        assert_eq!(in_force.take(Some("# as before"), "3"), Taken::Same);
        assert_eq!(in_force.version(), Some("3"));
    }
}
