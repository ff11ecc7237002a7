//! The configuration in force: the last good one, and whether something is wrong with what is in the cluster now.
//!
//! What follows from what was seen is pure; [`crate::watch_config`] sees. Readers take a snapshot and keep it for one
//! review, so a change never falls in the middle of a judgement.

use std::sync::Arc;

use arc_swap::ArcSwap;
use cnbi_shared::config::{Config, KEY};
use cnbi_shared::verdict::printable;

/// Most characters of a reason; a configuration's error may quote much of it.
const SHOWN: usize = 1000;

/// What is known of the configuration at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The last good configuration. `None` before there was one.
    pub config: Option<Arc<Config>>,
    /// `resourceVersion` of the ConfigMap that it came from.
    pub resource_version: String,
    /// Counts the configurations that have been in force, from 1.
    pub generation: i64,
    /// What is wrong with what is in the cluster now, safe to print.
    pub problem: Option<String>,
}

/// What was seen of the ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is there.
    Present {
        /// The value of its key `config.yaml`, where it has one.
        yaml: Option<String>,
        /// Its `resourceVersion`.
        resource_version: String,
    },
    /// There is none of that name.
    Missing,
    /// It could not be read; whatever was known of it still holds.
    Unreadable(String),
}

impl Snapshot {
    /// What is in force after something was seen. A good configuration replaces the last one; anything else only flags it.
    #[must_use]
    pub fn after(&self, seen: Seen) -> Self {
        let flagged = |problem: &str| Self {
            problem: Some(printable(problem, SHOWN)),
            ..self.clone()
        };
        match seen {
            Seen::Unreadable(_) if self.config.is_some() => self.clone(),
            Seen::Unreadable(why) => flagged(&format!("it cannot be read: {why}")),
            Seen::Missing => flagged("there is no such ConfigMap"),
            Seen::Present { yaml: None, .. } => flagged(&format!("it has no key {KEY}")),
            Seen::Present {
                yaml: Some(yaml),
                resource_version,
            } => match Config::from_yaml(&yaml) {
                Err(error) => flagged(&error.to_string()),
                Ok(config) => {
                    let is_same = self.config.as_deref() == Some(&config);
                    Self {
                        config: Some(Arc::new(config)),
                        resource_version,
                        generation: self.generation + i64::from(!is_same),
                        problem: None,
                    }
                }
            },
        }
    }
}

/// The configuration in force, for all who ask.
#[derive(Debug)]
pub struct Configuration {
    namespace: String,
    name: String,
    current: ArcSwap<Snapshot>,
}

impl Configuration {
    /// Nothing has been seen yet of the ConfigMap of that name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            current: ArcSwap::from_pointee(Snapshot {
                problem: Some("it has not been read yet".to_owned()),
                ..Snapshot::default()
            }),
        }
    }

    /// What is known now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Takes in what was seen, and gives what is known now. There is one observer, so no update is lost.
    pub fn observe(&self, seen: Seen) -> Arc<Snapshot> {
        let next = Arc::new(self.current.load().after(seen));
        self.current.store(Arc::clone(&next));
        next
    }

    /// Namespace of the ConfigMap.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Name of the ConfigMap.
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(yaml: &str, version: &str) -> Seen {
        Seen::Present {
            yaml: Some(yaml.to_owned()),
            resource_version: version.to_owned(),
        }
    }

    #[test]
    fn the_last_good_one_stays_in_force() {
        let configuration = Configuration::new("ns", "cnbi-config");
        assert!(configuration.snapshot().config.is_none());
        let unreadable = || Seen::Unreadable("forbidden".to_owned());
        let problem = configuration.observe(unreadable()).problem.clone();
        assert_eq!(problem.as_deref(), Some("it cannot be read: forbidden"));
        let first = configuration.observe(present("targetNamespace: {default: a}", "1"));
        assert_eq!((first.generation, first.problem.as_deref()), (1, None));
        assert_eq!(
            configuration.observe(unreadable()).problem,
            None,
            "a watch that breaks changes nothing"
        );
        for (seen, expected) in [
            (present("targetNamespcae: {}", "2"), "targetNamespcae"),
            (present("rules: {CNB101: Off}", "3"), "rules.CNB101"),
            (Seen::Missing, "no such ConfigMap"),
            (
                Seen::Present {
                    yaml: None,
                    resource_version: "4".to_owned(),
                },
                "no key config.yaml",
            ),
        ] {
            let now = configuration.observe(seen);
            assert_eq!(now.config.as_ref().unwrap().target_namespace.default, "a");
            assert_eq!((now.generation, now.resource_version.as_str()), (1, "1"));
            assert!(now.problem.as_ref().unwrap().contains(expected), "{:?}", now.problem);
        }
        let again = configuration.observe(present("targetNamespace: {default: a}", "5"));
        assert_eq!(
            (again.generation, again.problem.as_deref()),
            (1, None),
            "nothing has changed but the version"
        );
        let second = configuration.observe(present("targetNamespace: {default: b}", "6"));
        assert_eq!((second.generation, second.resource_version.as_str()), (2, "6"));
    }
}
