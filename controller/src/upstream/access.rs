//! Registries as the configuration says that they are reached, made anew when that changes.

use std::sync::{Mutex, PoisonError};

use cnbi_shared::config::{Config, Network};
use kube::Client;
use rustls::pki_types::CertificateDer;

use super::Failed;
use crate::plan::action::Place;
use crate::upstream::authorities;
use crate::upstream::registry::Registries;

/// What registries are asked through. Making it reads all public authorities, so the last one is kept.
#[derive(Default)]
pub(super) struct Access(Mutex<Option<Made>>);

struct Made {
    network: Network,
    authorities: Vec<CertificateDer<'static>>,
    registries: Registries,
}

impl Access {
    /// For a resource of that namespace.
    pub(super) async fn registries(
        &self,
        client: &Client,
        config: &Config,
        namespace: &str,
    ) -> Result<Registries, Failed> {
        let network = &config.network;
        let mut authorities = Vec::new();
        if !network.ca_config_map.is_empty() {
            let place = Place::new(config.pipelines.namespace_of_runs(namespace), &network.ca_config_map);
            let found = authorities::read(client, &place).await;
            authorities = found.ok().flatten().ok_or(Failed::NoAuthorities)?;
        }
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*last
            && made.network == *network
            && made.authorities == authorities
        {
            return Ok(made.registries.clone());
        }
        let registries = Registries::new(network, authorities.clone()).map_err(|error| {
            tracing::warn!(%error, "the authorities that the configuration names cannot be used");
            Failed::NoAuthorities
        })?;
        *last = Some(Made {
            network: network.clone(),
            authorities,
            registries: registries.clone(),
        });
        Ok(registries)
    }
}
