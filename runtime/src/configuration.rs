//! The active configuration of a program. [`crate::config_watch`] updates it.

use cnbi_shared::active_config::{ActiveConfig, ConfigUpdate, ObservedConfigMap};
use tokio::sync::watch;

/// Holds the active configuration and the name of its ConfigMap.
///
/// Readers take a snapshot and keep it for one review or one reconcile, so that the rules do not change in between.
#[derive(Debug)]
pub struct Configuration {
    namespace: String,
    name: String,
    active: watch::Sender<ActiveConfig>,
}

impl Configuration {
    /// The ConfigMap has not been read yet.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            active: watch::Sender::default(),
        }
    }

    /// The active configuration now. Cheap: the configuration itself is shared.
    pub fn snapshot(&self) -> ActiveConfig {
        self.active.borrow().clone()
    }

    /// Notifies when the active configuration, or the problem of the ConfigMap, changes. A failed read is no change.
    pub fn subscribe(&self) -> watch::Receiver<ActiveConfig> {
        self.active.subscribe()
    }

    /// Records what the ConfigMap contains now.
    pub fn observe(&self, observed: ObservedConfigMap) -> ConfigUpdate {
        let was_read = !matches!(observed, ObservedConfigMap::Unreadable(_));
        let mut update = ConfigUpdate::Unchanged;
        self.active.send_if_modified(|active| {
            let had_problem = active.problem().is_some();
            update = active.update(observed);
            was_read && (update != ConfigUpdate::Unchanged || had_problem)
        });
        update
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

    fn present(yaml: &str, version: &str) -> ObservedConfigMap {
        ObservedConfigMap::Present {
            yaml: Some(yaml.to_owned()),
            version: version.to_owned(),
        }
    }

    #[test]
    fn receivers_are_notified_of_changes_only() {
        let configuration = Configuration::new("ns", "cnbi-config");
        let mut active = configuration.subscribe();
        let mut is_notified = |observed| {
            configuration.observe(observed);
            let changed = active.has_changed().unwrap();
            active.mark_unchanged();
            changed
        };
        assert!(!is_notified(ObservedConfigMap::Unreadable("timeout".to_owned())));
        assert!(is_notified(present("", "1")));
        assert!(!is_notified(present("", "2")));
        assert!(is_notified(ObservedConfigMap::Missing));
        assert!(!is_notified(ObservedConfigMap::Unreadable("timeout".to_owned())));
        assert!(is_notified(present("", "3")), "the problem is fixed");
        assert!(!is_notified(present("", "4")));
        assert_eq!(configuration.snapshot().version(), "4");
    }
}
