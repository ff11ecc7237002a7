//! The configuration in force, for all who ask.
//!
//! What follows from what was seen is decided in `cnbi_shared::active_config`; [`crate::watch_config`] sees. Readers take a
//! snapshot and keep it for one review, so a change never falls in the middle of a judgement.

use std::sync::Arc;

use arc_swap::ArcSwap;
use cnbi_shared::active_config::{ActiveConfig, ConfigUpdate, ObservedConfigMap};

/// Holds what is known of our ConfigMap.
#[derive(Debug)]
pub struct Configuration {
    namespace: String,
    name: String,
    current: ArcSwap<ActiveConfig>,
}

impl Configuration {
    /// Nothing has been seen yet of the ConfigMap of that name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            current: ArcSwap::default(),
        }
    }

    /// What is known now.
    pub fn snapshot(&self) -> Arc<ActiveConfig> {
        self.current.load_full()
    }

    /// Takes in what was seen. There is one observer, so no update is lost.
    pub fn observe(&self, seen: ObservedConfigMap) -> ConfigUpdate {
        let mut next = ActiveConfig::clone(&self.current.load());
        let taken = next.take(seen);
        self.current.store(Arc::new(next));
        taken
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
