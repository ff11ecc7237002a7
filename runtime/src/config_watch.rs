//! Watches the ConfigMap with the configuration, so that changes apply without a restart.
//!
//! `cnbi_shared::active_config` decides what a change means.

use std::pin::pin;
use std::sync::Arc;

use cnbi_shared::active_config::{ConfigUpdate, ObservedConfigMap};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Client};

use crate::configuration::Configuration;
use crate::metrics::{ApiReachability, ConfigMetrics};

/// Watches the ConfigMap; never ends. Also reports whether the API server responds.
pub async fn watch(
    client: Client,
    configuration: Arc<Configuration>,
    metrics: ConfigMetrics,
    reachability: Arc<ApiReachability>,
) {
    let api: Api<ConfigMap> = Api::namespaced(client, configuration.namespace());
    let mut changes = pin!(watch_object(api, configuration.name()).default_backoff());
    while let Some(change) = changes.next().await {
        match &change {
            // An error response is a response too.
            Ok(_)
            | Err(
                watcher::Error::InitialListFailed(kube::Error::Api(_))
                | watcher::Error::WatchStartFailed(kube::Error::Api(_))
                | watcher::Error::WatchError(_),
            ) => reachability.succeeded(),
            Err(_) => reachability.failed(),
        }
        let observed = change.map_or_else(
            |error| {
                tracing::warn!(
                    %error,
                    namespace = configuration.namespace(),
                    name = configuration.name(),
                    "cannot watch the ConfigMap; retrying"
                );
                ObservedConfigMap::Unreadable(error.to_string())
            },
            ObservedConfigMap::from,
        );
        observe(&configuration, &metrics, observed);
    }
}

/// Records the state of the ConfigMap, and logs when the active configuration or its problem changes.
fn observe(configuration: &Configuration, metrics: &ConfigMetrics, observed: ObservedConfigMap) {
    let was_read = !matches!(observed, ObservedConfigMap::Unreadable(_));
    let before = configuration.snapshot();
    let update = configuration.observe(observed);
    let active = configuration.snapshot();
    if was_read {
        metrics.loaded(update != ConfigUpdate::Rejected);
    }
    metrics.set(&active);
    let (generation, version) = (active.generation(), active.version());
    match (update, active.problem()) {
        (ConfigUpdate::Changed, _) => tracing::info!(generation, version, "configuration loaded"),
        (ConfigUpdate::Rejected, Some(problem)) if before.problem() != active.problem() => {
            tracing::error!(
                namespace = configuration.namespace(),
                name = configuration.name(),
                problem,
                keeps_previous = active.config().is_some(),
                "the ConfigMap is invalid"
            );
        }
        (ConfigUpdate::Unchanged, None) if before.problem().is_some() => {
            tracing::info!(
                generation,
                version,
                "the ConfigMap is valid again; the configuration is unchanged"
            );
        }
        _ => {}
    }
}
