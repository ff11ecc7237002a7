//! The active configuration: the last valid one, and the problem of the stored one.
//!
//! A mistake in the ConfigMap must not disable the policy, so an invalid configuration only changes [`ActiveConfig::problem`]. The programs
//! watch the ConfigMap.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;

use crate::config::{Config, KEY};
use crate::verdict::escaped;

/// Maximum number of characters of a problem.
const SHOWN: usize = 1000;

/// The observed state of the ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObservedConfigMap {
    /// It exists.
    Present {
        /// The value of the key [`KEY`], if it exists.
        yaml: Option<String>,
        /// Its `resourceVersion`.
        version: String,
    },
    /// It does not exist.
    Missing,
    /// It could not be read, for this reason. Its last observed state stays valid.
    Unreadable(String),
}

impl From<Option<ConfigMap>> for ObservedConfigMap {
    /// Converts an event of a watch of one object.
    fn from(map: Option<ConfigMap>) -> Self {
        map.map_or(Self::Missing, |map| Self::Present {
            yaml: map.data.and_then(|mut data| data.remove(KEY)),
            version: map.metadata.resource_version.unwrap_or_default(),
        })
    }
}

/// The active configuration of a program.
#[derive(Clone, Debug)]
pub struct ActiveConfig {
    config: Option<Arc<Config>>,
    version: String,
    generation: i64,
    problem: Option<String>,
    was_read: bool,
}

impl Default for ActiveConfig {
    /// Nothing has been observed yet.
    fn default() -> Self {
        Self {
            config: None,
            version: String::new(),
            generation: 0,
            problem: Some("not read yet".to_owned()),
            was_read: false,
        }
    }
}

/// The effect of an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigUpdate {
    /// A different configuration is active now.
    Changed,
    /// The active configuration is the same.
    Unchanged,
    /// The configuration was rejected; see [`ActiveConfig::problem`].
    Rejected,
}

impl ActiveConfig {
    /// Processes an observation. A valid configuration becomes active; anything else only sets the problem.
    pub fn update(&mut self, observed: ObservedConfigMap) -> ConfigUpdate {
        self.was_read |= !matches!(observed, ObservedConfigMap::Unreadable(_));
        let (yaml, version) = match observed {
            ObservedConfigMap::Unreadable(_) if self.config.is_some() => return ConfigUpdate::Unchanged,
            ObservedConfigMap::Unreadable(why) => return self.reject(&format!("cannot be read: {why}")),
            ObservedConfigMap::Missing => return self.reject("not found"),
            ObservedConfigMap::Present { yaml: None, .. } => {
                return self.reject(&format!("has no key {KEY}"));
            }
            ObservedConfigMap::Present {
                yaml: Some(yaml),
                version,
            } => (yaml, version),
        };
        match Config::from_yaml(&yaml) {
            Err(error) => self.reject(&error.to_string()),
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

    fn reject(&mut self, problem: &str) -> ConfigUpdate {
        // The further lines of an error show the source.
        self.problem = Some(escaped(problem.lines().next().unwrap_or_default(), SHOWN));
        ConfigUpdate::Rejected
    }

    /// Whether the ConfigMap has been read, or is known not to exist.
    pub fn was_read(&self) -> bool {
        self.was_read
    }

    /// The active configuration; `None` before the first valid one.
    pub fn config(&self) -> Option<&Arc<Config>> {
        self.config.as_ref()
    }

    /// The resourceVersion of the ConfigMap with the active configuration; empty before the first valid one.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The number of configurations that have been active; 1 for the first.
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// Why the stored configuration is not active, safe to print on one line.
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
    fn the_last_valid_configuration_stays_active() {
        let mut active_config = ActiveConfig::default();
        assert!(active_config.config().is_none() && active_config.problem().is_some());
        let unreadable = || ObservedConfigMap::Unreadable("forbidden".to_owned());
        assert_eq!(active_config.update(unreadable()), ConfigUpdate::Rejected);
        assert_eq!(active_config.problem(), Some("cannot be read: forbidden"));
        assert!(!active_config.was_read());
        assert_eq!(
            active_config.update(present("targetNamespace: {default: a}", "1")),
            ConfigUpdate::Changed
        );
        assert_eq!((active_config.generation(), active_config.problem()), (1, None));
        assert_eq!(active_config.update(unreadable()), ConfigUpdate::Unchanged);
        assert_eq!(active_config.problem(), None, "a broken watch changes nothing");
        let good = Arc::clone(active_config.config().unwrap());
        let no_key = ObservedConfigMap::Present {
            yaml: None,
            version: "4".to_owned(),
        };
        for (observed, expected) in [
            (present("targetNamespcae: {}", "2"), "targetNamespcae"),
            (present("rules: {CNB101: Off}", "3"), "rules.CNB101: "),
            (ObservedConfigMap::Missing, "not found"),
            (no_key, "no key config.yaml"),
        ] {
            assert_eq!(active_config.update(observed), ConfigUpdate::Rejected);
            assert_eq!(active_config.config(), Some(&good));
            assert_eq!((active_config.generation(), active_config.version()), (1, "1"));
            assert!(active_config.problem().unwrap().contains(expected), "{active_config:?}");
        }
    }

    #[test]
    fn a_valid_configuration_clears_the_problem() {
        let mut active_config = ActiveConfig::default();
        active_config.update(present("nonsense", "1"));
        assert!(active_config.was_read());
        assert_eq!(active_config.update(present("", "2")), ConfigUpdate::Changed);
        assert_eq!((active_config.generation(), active_config.problem()), (1, None));
        assert_eq!(
            active_config.update(present("# as before", "3")),
            ConfigUpdate::Unchanged
        );
        assert_eq!((active_config.generation(), active_config.version()), (1, "3"));
        assert_eq!(
            active_config.update(present("targetNamespace: {default: b}", "4")),
            ConfigUpdate::Changed
        );
        assert_eq!((active_config.generation(), active_config.version()), (2, "4"));
    }

    #[test]
    fn the_configuration_is_read_from_its_key() {
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
