//! Hands the serving certificate of the moment to rustls.
//!
//! A swap touches new handshakes only: a connection goes on with the keys it has agreed on.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// A certificate that can be swapped while connections are open. Before there is one, handshakes are refused.
#[derive(Debug, Default)]
pub struct Resolver(ArcSwapOption<CertifiedKey>);

impl Resolver {
    /// Serves `certified` from now on.
    pub fn swap(&self, certified: Arc<CertifiedKey>) {
        self.0.store(Some(certified));
    }

    /// What is served.
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
