//! Follows the ConfigMap in the cluster and puts what it says into force, without a restart.
//!
//! What a text means is decided in `cnbi_shared::active_config`.

use std::pin::pin;
use std::sync::Arc;

use cnbi_shared::active_config::{ConfigUpdate, ObservedConfigMap};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Client};

use crate::configuration::Configuration;
use crate::health::ApiReach;
use crate::metrics::Metrics;

/// Follows the ConfigMap for as long as the process lives.
pub async fn follow(client: Client, configuration: Arc<Configuration>, metrics: Arc<Metrics>, reach: Arc<ApiReach>) {
    let api: Api<ConfigMap> = Api::namespaced(client, configuration.namespace());
    let mut changes = pin!(watch_object(api, configuration.name()).default_backoff());
    while let Some(change) = changes.next().await {
        match &change {
            // A refusal is an answer as well.
            Ok(_)
            | Err(
                watcher::Error::InitialListFailed(kube::Error::Api(_))
                | watcher::Error::WatchStartFailed(kube::Error::Api(_))
                | watcher::Error::WatchError(_),
            ) => reach.answered(),
            Err(_) => reach.lost(),
        }
        let seen = change.map_or_else(
            |error| {
                tracing::warn!(%error, "the ConfigMap cannot be watched; trying again");
                ObservedConfigMap::Unreadable(error.to_string())
            },
            ObservedConfigMap::from,
        );
        observe(&configuration, &metrics, seen);
    }
}

/// Takes in what was seen, and says so where something has changed.
pub fn observe(configuration: &Configuration, metrics: &Metrics, seen: ObservedConfigMap) {
    let before = configuration.snapshot();
    let taken = configuration.observe(seen);
    let now = configuration.snapshot();
    let (generation, version) = (now.generation(), now.version());
    metrics.config_generation.set(generation);
    metrics.config_valid.set(i64::from(now.problem().is_none()));
    match (taken, now.problem()) {
        (ConfigUpdate::Changed, _) => tracing::info!(generation, version, "a new configuration is in force"),
        (ConfigUpdate::Rejected, Some(problem)) if before.problem() != now.problem() => {
            tracing::error!(
                name = configuration.name(),
                problem,
                has_last_good = now.config().is_some(),
                "the configuration cannot be taken"
            );
        }
        (ConfigUpdate::Unchanged, None) if before.problem().is_some() => {
            tracing::info!(version, "the configuration is good")
        }
        _ => {}
    }
}
