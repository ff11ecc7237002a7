//! Follows the ConfigMap. What its text means is decided by `cnbi_shared::active_config`.

use std::pin::pin;

use cnbi_shared::active_config::{ActiveConfig, ConfigUpdate, ObservedConfigMap};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::metrics::Metrics;

/// Follows the ConfigMap for as long as it is polled. Receivers are told when what is in force, or what is wrong with the
/// text, has changed.
pub async fn follow(
    client: Client,
    namespace: &str,
    name: &str,
    metrics: &Metrics,
    in_force: &watch::Sender<ActiveConfig>,
) {
    let api: Api<ConfigMap> = Api::namespaced(client, namespace);
    let mut changes = pin!(watcher::watch_object(api, name).default_backoff());
    while let Some(change) = changes.next().await {
        match change {
            Ok(config_map) => take(config_map.into(), metrics, in_force),
            Err(error) => {
                tracing::warn!(%error, namespace, name, "the ConfigMap cannot be watched; trying again");
                in_force.send_if_modified(|in_force| {
                    in_force.take(ObservedConfigMap::Unreadable(error.to_string()));
                    // What is in force is as it was.
                    false
                });
            }
        }
    }
}

fn take(seen: ObservedConfigMap, metrics: &Metrics, in_force: &watch::Sender<ActiveConfig>) {
    in_force.send_if_modified(|in_force| {
        let refused_before = in_force.problem().is_some();
        let taken = in_force.take(seen);
        let version = in_force.version();
        metrics.configured(taken != ConfigUpdate::Rejected);
        match taken {
            ConfigUpdate::Changed => tracing::info!(version, "the configuration is in force"),
            ConfigUpdate::Unchanged => tracing::debug!(version, "the configuration says what it said"),
            ConfigUpdate::Rejected => {
                let reason = in_force.problem().unwrap_or_default();
                tracing::error!(
                    version,
                    reason,
                    "the configuration is not taken; the last good one stays in force"
                );
            }
        }
        taken != ConfigUpdate::Unchanged || refused_before
    });
}
