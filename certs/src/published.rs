//! The `caBundle` of every webhook configuration, as it was read from the cluster.

use crate::authority::CaCertificate;
use crate::bundle::Bundle;

/// A kind of webhook configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// MutatingWebhookConfiguration.
    Mutating,
    /// ValidatingWebhookConfiguration.
    Validating,
}

/// One webhook of a configuration that calls us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, the key of the list.
    pub name: String,
    /// Its `caBundle` as PEM; empty if it has none.
    pub ca_bundle: Vec<u8>,
}

/// The state of a configuration as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigurationState {
    /// It does not exist, so no API server calls us through it.
    Missing,
    /// It could not be read.
    Unreadable,
    /// It exists.
    Found {
        /// The resourceVersion for optimistic locking.
        resource_version: String,
        /// The entries that call us.
        entries: Vec<Entry>,
    },
}

/// A webhook configuration by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its state.
    pub seen: ConfigurationState,
}

impl Configuration {
    /// Whether API servers that call us through it trust `authority`. True if it does not exist; `None` if it could not be
    /// read.
    fn trusts(&self, authority: &CaCertificate) -> Option<bool> {
        match &self.seen {
            ConfigurationState::Missing => Some(true),
            ConfigurationState::Unreadable => None,
            ConfigurationState::Found { entries, .. } => Some(
                entries
                    .iter()
                    .all(|entry| Bundle::pem_contains(&entry.ca_bundle, authority)),
            ),
        }
    }

    /// Whether an entry's bundle differs from `pem`.
    pub(crate) fn differs(&self, pem: &[u8]) -> bool {
        matches!(&self.seen, ConfigurationState::Found { entries, .. } if entries.iter().any(|entry| entry.ca_bundle != pem))
    }
}

/// The state of all configurations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// Every managed configuration.
    pub configurations: Vec<Configuration>,
}

impl Published {
    /// Whether all configurations contain `authority`.
    pub fn trusts(&self, authority: &CaCertificate) -> bool {
        self.configurations.iter().all(|it| it.trusts(authority) == Some(true))
    }

    /// Whether a configuration is known not to contain `authority`.
    pub(crate) fn misses(&self, authority: &CaCertificate) -> bool {
        self.configurations.iter().any(|it| it.trusts(authority) == Some(false))
    }

    /// Whether all configurations are known not to contain `authority`.
    pub(crate) fn is_missing_everywhere(&self, authority: &CaCertificate) -> bool {
        self.configurations.iter().all(|it| it.trusts(authority) == Some(false))
    }

    /// Whether no configuration has a bundle.
    pub(crate) fn is_empty(&self) -> bool {
        self.configurations
            .iter()
            .all(|configuration| match &configuration.seen {
                ConfigurationState::Missing | ConfigurationState::Unreadable => true,
                ConfigurationState::Found { entries, .. } => entries.iter().all(|entry| entry.ca_bundle.is_empty()),
            })
    }
}
