//! What API servers are told at present: the `caBundle` of every webhook configuration, as it was found.
//!
//! Only what was seen and what follows from it; reading and writing are elsewhere.

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
    /// The `caBundle` it carries, PEM; empty when it carries none.
    pub ca_bundle: Vec<u8>,
}

/// What a configuration was found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// There is none: no API server calls us through it.
    Missing,
    /// It could not be read: nothing is known.
    Unreadable,
    /// It is there.
    Found {
        /// The version that a write has to be based on.
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
    /// What was found.
    pub seen: Seen,
}

impl Configuration {
    /// Whether an API server that calls us through it is told to trust `authority`. One that is missing harms nobody;
    /// of one that cannot be read, nothing is known.
    fn carries(&self, authority: &CaCertificate) -> Option<bool> {
        match &self.seen {
            Seen::Missing => Some(true),
            Seen::Unreadable => None,
            Seen::Found { entries, .. } => Some(
                entries
                    .iter()
                    .all(|entry| Bundle::mentions(&entry.ca_bundle, authority)),
            ),
        }
    }

    /// Whether an entry says something else than these bytes.
    pub(crate) fn differs(&self, pem: &[u8]) -> bool {
        matches!(&self.seen, Seen::Found { entries, .. } if entries.iter().any(|entry| entry.ca_bundle != pem))
    }
}

/// What API servers are told at present.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// Every configuration that we keep.
    pub configurations: Vec<Configuration>,
}

impl Published {
    /// Whether every API server that calls us is known to be told to trust `authority`.
    pub fn carries(&self, authority: &CaCertificate) -> bool {
        self.configurations.iter().all(|it| it.carries(authority) == Some(true))
    }

    /// Whether some API server that calls us is known not to be told to trust `authority`.
    pub(crate) fn lacks(&self, authority: &CaCertificate) -> bool {
        self.configurations
            .iter()
            .any(|it| it.carries(authority) == Some(false))
    }

    /// Whether no API server that calls us can be told to trust `authority`.
    pub(crate) fn lacks_everywhere(&self, authority: &CaCertificate) -> bool {
        self.configurations
            .iter()
            .all(|it| it.carries(authority) == Some(false))
    }

    /// Whether anybody was ever told to trust anything.
    pub(crate) fn is_blank(&self) -> bool {
        self.configurations
            .iter()
            .all(|configuration| match &configuration.seen {
                Seen::Missing | Seen::Unreadable => true,
                Seen::Found { entries, .. } => entries.iter().all(|entry| entry.ca_bundle.is_empty()),
            })
    }
}
