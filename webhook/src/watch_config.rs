//! Follows the ConfigMap in the cluster and puts what it says into force, without a restart.
//!
//! What a text means is decided in [`crate::configuration`].

use std::pin::pin;
use std::sync::Arc;

use cnbi_shared::config::KEY;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};

use crate::configuration::{Configuration, Seen, Snapshot};
use crate::health::ApiReach;
use crate::metrics::Metrics;

/// Follows the ConfigMap for as long as the process lives.
pub async fn follow(client: Client, configuration: Arc<Configuration>, metrics: Arc<Metrics>, reach: Arc<ApiReach>) {
    let api: Api<ConfigMap> = Api::namespaced(client, configuration.namespace());
    let by_name = watcher::Config::default().fields(&format!("metadata.name={}", configuration.name()));
    let mut events = pin!(watcher(api, by_name).default_backoff());
    let mut is_listed = false;
    while let Some(event) = events.next().await {
        match &event {
            Ok(_) => reach.answered(),
            Err(error) => match error {
                // It answered, though with a refusal.
                watcher::Error::InitialListFailed(kube::Error::Api(_))
                | watcher::Error::WatchStartFailed(kube::Error::Api(_))
                | watcher::Error::WatchError(_) => reach.answered(),
                _ => reach.lost(),
            },
        }
        let seen = match event {
            Ok(Event::Init) => {
                is_listed = false;
                continue;
            }
            Ok(Event::InitDone) if is_listed => continue,
            Ok(Event::InitDone | Event::Delete(_)) => Seen::Missing,
            Ok(Event::InitApply(map) | Event::Apply(map)) => {
                is_listed = true;
                Seen::Present {
                    yaml: map.data.and_then(|mut data| data.remove(KEY)),
                    resource_version: map.metadata.resource_version.unwrap_or_default(),
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the ConfigMap cannot be watched; trying again");
                Seen::Unreadable(error.to_string())
            }
        };
        observe(&configuration, &metrics, seen);
    }
}

/// Takes in what was seen, and says so where something has changed.
pub fn observe(configuration: &Configuration, metrics: &Metrics, seen: Seen) {
    let before = configuration.snapshot();
    let now = configuration.observe(seen);
    let Snapshot {
        config,
        resource_version,
        generation,
        problem,
    } = &*now;
    metrics.config_generation.set(*generation);
    metrics.config_valid.set(i64::from(problem.is_none()));
    let is_new = *generation != before.generation;
    if is_new {
        tracing::info!(generation, resource_version, "a new configuration is in force");
    }
    match problem {
        Some(problem) if before.problem != now.problem => {
            tracing::error!(
                name = configuration.name(),
                problem,
                has_last_good = config.is_some(),
                "the configuration cannot be taken"
            );
        }
        None if before.problem.is_some() && !is_new => tracing::info!(resource_version, "the configuration is good"),
        _ => {}
    }
}
