//! The latency of `create` requests to the API server, with and without webhooks.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cnbi_tests::control_plane::ControlPlane;
use kube::api::{DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Map, Value, json};

use crate::reviews;
use crate::servers::PEER_LABEL;

/// Measures creates in turn in a namespace without webhooks, one with CNBi's and one with the peer's.
pub async fn measure(control_plane: &ControlPlane, client: &kube::Client, count: usize) -> Result<Value> {
    for (name, labels) in [("none", json!({})), ("peer", json!({PEER_LABEL.0: PEER_LABEL.1}))] {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        let kubectl = control_plane.kubectl().args(["create", "-f", "-"]);
        kubectl.stdin(namespace.to_string()).ok().await?;
    }
    let kind = GroupVersionKind::gvk("meteor.zone", "v1alpha1", "CustomNBImage");
    let kind = ApiResource::from_gvk_with_plural(&kind, "customnbimages");
    let mut places = Vec::new();
    for name in ["none", "ours", "peer"] {
        let api: kube::Api<DynamicObject> = kube::Api::namespaced_with(client.clone(), name, &kind);
        places.push((name, api, Vec::with_capacity(count)));
    }
    let mut spec = reviews::package_list();
    if let Some(spec) = spec.as_object_mut() {
        // Both webhooks set the default.
        spec.remove("targetNamespace");
    }
    // The API server watches webhook configurations; a new one takes effect later.
    let peer = reviews::resource("peer", "asked", &spec);
    let peer: DynamicObject = serde_json::from_value(peer)?;
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    for attempt in 0.. {
        let asked = places[2].1.create(&dry_run, &peer).await?;
        if asked.data["spec"]["targetNamespace"] == "peer" {
            break;
        }
        ensure!(attempt < 300, "the API server did not call the peer's webhook");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let warm_up = 50;
    for index in 0..count + warm_up {
        for (name, api, latencies) in &mut places {
            let mut object = reviews::resource(name, &format!("created-{index}"), &spec);
            if *name == "none" {
                object["spec"]["targetNamespace"] = (*name).into();
            }
            let object: DynamicObject = serde_json::from_value(object)?;
            let begin = Instant::now();
            let created = api.create(&PostParams::default(), &object).await?;
            if index >= warm_up {
                latencies.push(begin.elapsed());
            }
            ensure!(
                created.data["spec"]["targetNamespace"] == *name,
                "the webhook of {name} was not called: {}",
                created.data
            );
        }
    }
    let mut results = Map::new();
    for (name, _, mut latencies) in places {
        latencies.sort_unstable();
        let at = |percent: usize| {
            let latency = latencies.get(latencies.len() * percent / 100);
            latency.map_or(0.0, Duration::as_secs_f64) * 1e6
        };
        results.insert(
            name.to_owned(),
            json!({"p50": at(50).round(), "p99": at(99).round(), "count": latencies.len()}),
        );
    }
    Ok(results.into())
}
