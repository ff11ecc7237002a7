//! Alerts and dashboard use existing metrics and labels only, and each alert has a runbook.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::{Installation, Replica, shipped};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::query::names;
use super::{Outcome, of_controller, of_webhook, samples};

const WITHIN: Duration = Duration::from_secs(60);

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn alerts() -> Outcome<Vec<Value>> {
    let file = fs::read_to_string(shipped::deploy().join("components/monitoring/alerts.yaml"))?;
    let rule: Value = serde_saphyr::from_str(&file)?;
    let groups = list(&rule["spec"]["groups"]).iter();
    Ok(groups.flat_map(|group| list(&group["rules"]).to_vec()).collect())
}

fn panels() -> Outcome<Vec<Value>> {
    let file = fs::read_to_string(shipped::deploy().join("components/monitoring/dashboard.json"))?;
    let dashboard: Value = serde_json::from_str(&file)?;
    Ok(list(&dashboard["panels"]).to_vec())
}

/// All current metrics of both programs.
fn all() -> BTreeMap<String, BTreeSet<String>> {
    let mut all = samples(&of_webhook());
    all.extend(samples(&of_controller()));
    // Prometheus adds this one to every target.
    all.insert("up".to_owned(), BTreeSet::from(["job".to_owned()]));
    all
}

#[test]
fn every_query_uses_existing_metrics_and_labels() -> Outcome {
    let all = all();
    let mut queries: Vec<(String, String, String)> = Vec::new();
    for alert in alerts()? {
        queries.push((
            text(&alert["alert"]).to_owned(),
            text(&alert["expr"]).to_owned(),
            String::new(),
        ));
    }
    for panel in panels()? {
        for target in list(&panel["targets"]) {
            let legend = text(&target["legendFormat"]).to_owned();
            queries.push((
                text(&panel["title"]).to_owned(),
                text(&target["expr"]).to_owned(),
                legend,
            ));
        }
    }
    assert!(queries.len() > 40, "{}", queries.len());
    let mut used = BTreeSet::new();
    for (of, query, legend) in queries {
        let found = names(&query).unwrap_or_else(|| panic!("{of}: {query}"));
        assert!(!found.metrics.is_empty(), "{of}: {query}");
        let mut labels = BTreeSet::new();
        for (metric, selected) in &found.metrics {
            let known = all
                .get(metric)
                .unwrap_or_else(|| panic!("{of}: {metric} does not exist or is deprecated"));
            assert!(
                selected.is_subset(known),
                "{of}: {metric} has {known:?}, not {selected:?}"
            );
            labels.extend(known.iter().cloned());
            used.insert(metric.clone());
        }
        assert!(found.grouped.is_subset(&labels), "{of}: {query} has {labels:?}");
        for shown in legend
            .split("{{")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once("}}")?.0))
        {
            assert!(found.grouped.contains(shown), "{of}: {legend} of {query}");
        }
    }
    // Every metric is used in a panel or an alert, with few exceptions.
    let family = |name: &str| {
        let suffix = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix));
        suffix.unwrap_or(name).to_owned()
    };
    let shown: BTreeSet<String> = used.iter().map(|name| family(name)).collect();
    let counted: BTreeSet<String> = all.keys().map(|name| family(name)).collect();
    let unused: Vec<&String> = counted.difference(&shown).collect();
    let by_hand = [
        "cnbi_webhook_config_generation",
        "cnbi_webhook_config_loads_total",
        "cnbi_controller_config_generation",
        "cnbi_controller_config_loads_total",
    ];
    for name in unused {
        assert!(
            by_hand.contains(&name.as_str()),
            "{name} is in no panel and in no alert"
        );
    }
    Ok(())
}

#[test]
fn every_alert_has_a_runbook() -> Outcome {
    let page = fs::read_to_string(shipped::deploy().join("../docs/how-to/alerts.md"))?;
    let mut sections: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    for alert in alerts()? {
        let name = text(&alert["alert"]);
        assert!(sections.remove(name), "{name} has no section of its own");
        let anchor = cnbi_shared::links::page(&format!("how-to/alerts.md#{}", name.to_lowercase()));
        assert_eq!(alert["annotations"]["runbook_url"], anchor);
        for key in ["summary", "description"] {
            assert!(!text(&alert["annotations"][key]).is_empty(), "{name}: {key}");
        }
        assert!(
            ["warning", "critical"].contains(&text(&alert["labels"]["severity"])),
            "{name}"
        );
        assert!(!text(&alert["for"]).is_empty(), "{name}");
    }
    assert!(sections.is_empty(), "no alert is called {sections:?}");
    Ok(())
}

#[test]
fn panels_do_not_overlap() -> Outcome {
    let panels = panels()?;
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "ids are not unique");
    let mut places = BTreeSet::new();
    for panel in &panels {
        let place = &panel["gridPos"];
        let (x, width) = (place["x"].as_u64().unwrap_or(99), place["w"].as_u64().unwrap_or(99));
        assert!(x + width <= 24, "{panel}");
        assert!(
            places.insert((place["y"].as_u64(), x)),
            "two panels in one place: {panel}"
        );
        assert_eq!(panel["type"] == "row", list(&panel["targets"]).is_empty(), "{panel}");
    }
    Ok(())
}

async fn metrics_of(replica: &Replica) -> Outcome<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", replica.port("metrics")?)).await?;
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.split_once("\r\n\r\n").unwrap_or_default().1.to_owned())
}

/// Waits until a program serves these metrics, and returns all that it serves.
async fn until_counted(replica: &Replica, wanted: &[&str]) -> Outcome<BTreeMap<String, BTreeSet<String>>> {
    let begin = Instant::now();
    loop {
        let served = samples(&metrics_of(replica).await?);
        let missing: Vec<_> = wanted.iter().filter(|name| !served.contains_key(**name)).collect();
        if missing.is_empty() {
            return Ok(served);
        }
        if begin.elapsed() > WITHIN {
            return Err(format!("metrics that never appeared: {missing:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn running_programs_serve_the_metrics_of_the_reference_page() -> Outcome {
    let cluster = ControlPlane::start().await?;
    cnbi_tests::fake_tekton::install(&cluster).await?;
    let installation = Installation::install(&cluster, shipped::default(Some("counted"))).await?;
    installation.create_namespace("team-a").await?;
    let replicas = installation.start_all(WITHIN).await?;
    let resource = |name: &str, secret: Value| {
        let image = "quay.io/thoth-station/s2i-minimal-py38-notebook:v0.2.2";
        let mut spec = json!({"buildType": "ImageImport", "fromImage": image});
        if !secret.is_null() {
            spec["imagePullSecret"] = secret;
        }
        let resource = json!({"apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
            "metadata": {"name": name, "namespace": "team-a"}, "spec": spec});
        cluster
            .kubectl()
            .args(["create", "-f", "-"])
            .stdin(resource.to_string())
            .run()
    };
    let begin = Instant::now();
    while !resource("good", Value::Null).await?.success {
        assert!(begin.elapsed() < WITHIN);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!resource("bad", json!({"name": "missing"})).await?.success);

    let all = all();
    for replica in &replicas {
        let wanted: &[&str] = if replica.pod().starts_with("cnbi-webhook") {
            &[
                "cnbi_webhook_reviews_total",
                "cnbi_webhook_review_findings_total",
                "cnbi_webhook_lookups_total",
                "cnbi_webhook_lookup_duration_seconds_bucket",
                "cnbi_webhook_certificate_expiration_timestamp_seconds",
                "cnbi_webhook_ca_expiration_timestamp_seconds",
            ]
        } else {
            &[
                "cnbi_controller_leader",
                "cnbi_controller_resources",
                "cnbi_controller_reconcile_total",
                "cnbi_controller_api_requests_total",
                "cnbi_controller_api_available",
            ]
        };
        for (name, labels) in until_counted(replica, wanted).await? {
            let known = all.get(&name).unwrap_or_else(|| panic!("{name} is not on the page"));
            assert_eq!(labels, *known, "{name}");
        }
    }
    Ok(())
}
