//! Provides the current serving certificate to rustls. A new certificate affects only new connections.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// A certificate that can be replaced at run time. Handshakes fail until one is set.
#[derive(Debug, Default)]
pub struct Resolver(ArcSwapOption<CertifiedKey>);

impl Resolver {
    /// Replaces the certificate.
    pub fn swap(&self, certified: Arc<CertifiedKey>) {
        self.0.store(Some(certified));
    }

    /// The current certificate.
    #[cfg(test)]
    pub(crate) fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
