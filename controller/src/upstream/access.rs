//! The registry client for the current network configuration, rebuilt when that changes.

use std::sync::{Mutex, PoisonError};

use cnbi_shared::config::{Config, Network};
use kube::Client;
use rustls::pki_types::CertificateDer;

use super::LookupError;
use crate::plan::action::NamespacedName;
use crate::upstream::authorities;
use crate::upstream::registry::RegistryClient;

/// Caches the last client: creating one loads all public CA certificates.
#[derive(Default)]
pub(super) struct RegistryClients(Mutex<Option<CachedClient>>);

struct CachedClient {
    network: Network,
    authorities: Vec<CertificateDer<'static>>,
    registries: RegistryClient,
}

impl RegistryClients {
    /// The client for a resource of that namespace.
    pub(super) async fn client(
        &self,
        client: &Client,
        config: &Config,
        namespace: &str,
    ) -> Result<RegistryClient, LookupError> {
        let network = &config.network;
        let mut authorities = Vec::new();
        if !network.ca_config_map.is_empty() {
            let key = NamespacedName::new(config.pipelines.run_namespace_for(namespace), &network.ca_config_map);
            let found = authorities::read(client, &key).await;
            authorities = found.ok().flatten().ok_or(LookupError::NoAuthorities)?;
        }
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = &*slot
            && cached.network == *network
            && cached.authorities == authorities
        {
            return Ok(cached.registries.clone());
        }
        let registries = RegistryClient::new(network, authorities.clone()).map_err(|error| {
            tracing::warn!(%error, "network.caConfigMap contains invalid CA certificates");
            LookupError::NoAuthorities
        })?;
        *slot = Some(CachedClient {
            network: network.clone(),
            authorities,
            registries: registries.clone(),
        });
        Ok(registries)
    }
}
