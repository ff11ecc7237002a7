//! The configuration in force: the last one that could be taken, and what is wrong with what stands there now.
//!
//! A slip in a policy must not switch the policy off, so what cannot be taken changes nothing but [`ActiveConfig::problem`].
//! Following the ConfigMap is the programs' business.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;

use crate::config::{Config, KEY};
use crate::verdict::escaped;

/// Most characters of a problem; the error of a configuration may quote much of it.
const SHOWN: usize = 1000;

/// What was seen of the ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservedConfigMap {
    /// It is there.
    Present {
        /// The value of its key [`KEY`], where it has one.
        yaml: Option<String>,
        /// Its `resourceVersion`.
        version: String,
    },
    /// There is none of that name.
    Missing,
    /// It could not be read, for this reason; whatever was known of it still holds.
    Unreadable(String),
}

impl From<Option<ConfigMap>> for ObservedConfigMap {
    /// As a watch of one object reports it.
    fn from(map: Option<ConfigMap>) -> Self {
        map.map_or(Self::Missing, |map| Self::Present {
            yaml: map.data.and_then(|mut data| data.remove(KEY)),
            version: map.metadata.resource_version.unwrap_or_default(),
        })
    }
}

/// What a program knows of its configuration at one moment.
#[derive(Clone, Debug)]
pub struct ActiveConfig {
    config: Option<Arc<Config>>,
    version: String,
    generation: i64,
    problem: Option<String>,
    was_read: bool,
}

impl Default for ActiveConfig {
    /// Nothing has been seen yet.
    fn default() -> Self {
        Self {
            config: None,
            version: String::new(),
            generation: 0,
            problem: Some("it has not been read yet".to_owned()),
            was_read: false,
        }
    }
}

/// What came of what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigUpdate {
    /// It is in force from now on, and says something else than the one before.
    Changed,
    /// It says what is in force already; or nothing new is known.
    Unchanged,
    /// It could not be taken; [`ActiveConfig::problem`] says why.
    Rejected,
}

impl ActiveConfig {
    /// Takes in what was seen. A good configuration replaces the last one; anything else only flags it.
    pub fn take(&mut self, seen: ObservedConfigMap) -> ConfigUpdate {
        self.was_read |= !matches!(seen, ObservedConfigMap::Unreadable(_));
        let (yaml, version) = match seen {
            ObservedConfigMap::Unreadable(_) if self.config.is_some() => return ConfigUpdate::Unchanged,
            ObservedConfigMap::Unreadable(why) => return self.flag(&format!("it cannot be read: {why}")),
            ObservedConfigMap::Missing => return self.flag("there is no such ConfigMap"),
            ObservedConfigMap::Present { yaml: None, .. } => return self.flag(&format!("it has no key {KEY}")),
            ObservedConfigMap::Present {
                yaml: Some(yaml),
                version,
            } => (yaml, version),
        };
        match Config::from_yaml(&yaml) {
            Err(error) => self.flag(&error.to_string()),
            Ok(config) => {
                let is_same = self.config.as_deref() == Some(&config);
                *self = Self {
                    config: Some(Arc::new(config)),
                    version,
                    generation: self.generation + i64::from(!is_same),
                    problem: None,
                    was_read: true,
                };
                if is_same {
                    ConfigUpdate::Unchanged
                } else {
                    ConfigUpdate::Changed
                }
            }
        }
    }

    fn flag(&mut self, problem: &str) -> ConfigUpdate {
        // Below the first line an error draws where it is.
        self.problem = Some(escaped(problem.lines().next().unwrap_or_default(), SHOWN));
        ConfigUpdate::Rejected
    }

    /// Whether the ConfigMap, or that there is none, has been seen at all.
    pub fn was_read(&self) -> bool {
        self.was_read
    }

    /// The configuration in force; `None` until there was a good one.
    pub fn config(&self) -> Option<&Arc<Config>> {
        self.config.as_ref()
    }

    /// The resourceVersion of the ConfigMap that the configuration in force was read from; empty until there was a good one.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Counts the configurations that have been in force, from 1.
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// Why what is in the cluster now is not in force, safe to print on one line.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(yaml: &str, version: &str) -> ObservedConfigMap {
        ObservedConfigMap::Present {
            yaml: Some(yaml.to_owned()),
            version: version.to_owned(),
        }
    }

    #[test]
    fn the_last_good_one_stays_in_force() {
        let mut in_force = ActiveConfig::default();
        assert!(in_force.config().is_none() && in_force.problem().is_some());
        let unreadable = || ObservedConfigMap::Unreadable("forbidden".to_owned());
        assert_eq!(in_force.take(unreadable()), ConfigUpdate::Rejected);
        assert_eq!(in_force.problem(), Some("it cannot be read: forbidden"));
        assert!(!in_force.was_read());
        assert_eq!(
            in_force.take(present("targetNamespace: {default: a}", "1")),
            ConfigUpdate::Changed
        );
        assert_eq!((in_force.generation(), in_force.problem()), (1, None));
        assert_eq!(in_force.take(unreadable()), ConfigUpdate::Unchanged);
        assert_eq!(in_force.problem(), None, "a watch that breaks changes nothing");
        let good = Arc::clone(in_force.config().unwrap());
        let no_key = ObservedConfigMap::Present {
            yaml: None,
            version: "4".to_owned(),
        };
        for (seen, expected) in [
            (present("targetNamespcae: {}", "2"), "targetNamespcae"),
            (present("rules: {CNB101: Off}", "3"), "rules.CNB101: "),
            (ObservedConfigMap::Missing, "no such ConfigMap"),
            (no_key, "no key config.yaml"),
        ] {
            assert_eq!(in_force.take(seen), ConfigUpdate::Rejected);
            assert_eq!(in_force.config(), Some(&good));
            assert_eq!((in_force.generation(), in_force.version()), (1, "1"));
            assert!(in_force.problem().unwrap().contains(expected), "{in_force:?}");
        }
    }

    #[test]
    fn a_good_one_ends_the_complaint() {
        let mut in_force = ActiveConfig::default();
        in_force.take(present("nonsense", "1"));
        assert!(in_force.was_read());
        assert_eq!(in_force.take(present("", "2")), ConfigUpdate::Changed);
        assert_eq!((in_force.generation(), in_force.problem()), (1, None));
        assert_eq!(in_force.take(present("# as before", "3")), ConfigUpdate::Unchanged);
        assert_eq!((in_force.generation(), in_force.version()), (1, "3"));
        assert_eq!(
            in_force.take(present("targetNamespace: {default: b}", "4")),
            ConfigUpdate::Changed
        );
        assert_eq!((in_force.generation(), in_force.version()), (2, "4"));
    }

    #[test]
    fn a_config_map_is_seen_by_its_key() {
        let map = |data: &[(&str, &str)]| {
            let mut map = ConfigMap::default();
            map.metadata.resource_version = Some("7".to_owned());
            map.data = Some(
                data.iter()
                    .map(|(key, value)| ((*key).into(), (*value).into()))
                    .collect(),
            );
            ObservedConfigMap::from(Some(map))
        };
        assert_eq!(map(&[("other", "x"), (KEY, "rules: {}")]), present("rules: {}", "7"));
        let version = "7".to_owned();
        assert_eq!(
            map(&[("other", "x")]),
            ObservedConfigMap::Present { yaml: None, version }
        );
        assert_eq!(ObservedConfigMap::from(None), ObservedConfigMap::Missing);
    }
}
