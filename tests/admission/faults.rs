//! The webhook without permissions, without a trusted certificate, after a restart, and without an API server.

use std::fs;

use anyhow::{Context as _, Result};
use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::shipped;
use http::Method;
use serde_json::{Value, json};

use crate::cluster::{ADMIN, WITHIN, path_of, prepare_users, resource, until, until_allowed};
use crate::test_installation::{TestInstallation, get};

/// A resource for which the webhook reads a Secret.
fn asking(namespace: &str, name: &str) -> Value {
    resource(namespace, name, json!({"imagePullSecret": {"name": "quay"}}))
}

#[tokio::test]
async fn missing_read_permission_is_reported_as_not_checked() -> Result<()> {
    TestInstallation::run("rights", async |setup| {
        let team = setup.namespace();
        let response = setup.create(ADMIN, &asking(&team, "one")).await?;
        assert!(
            response.code == 422 && response.message().contains("[CNB110]"),
            "{}",
            response.body
        );

        let role = format!(
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/{}",
            setup.installation.name_of("cnbi-webhook")
        );
        let whole = setup.done(Method::GET, &role, &Value::Null).await?["rules"].take();
        let mut rules = whole.clone();
        rules
            .as_array_mut()
            .context("no rules")?
            .retain(|rule| rule["resources"] != json!(["secrets"]));
        setup.refused.push("/secrets/quay");
        setup.done(Method::PATCH, &role, &json!({"rules": rules})).await?;
        let right = json!({"resource": "secrets", "verb": "get", "name": "quay", "namespace": team});
        until_allowed(&setup.client, &setup.account(), &right, false).await?;

        let response = setup.create(ADMIN, &asking(&team, "two")).await?;
        assert_eq!(
            (response.code, &response.body["reason"]),
            (503, &json!("ServiceUnavailable")),
            "{}",
            response.body
        );
        let wanted = format!("Secret {team}/quay cannot be read: cnbi-webhook has no permission");
        assert!(
            response.message().contains(&wanted) && response.message().contains("[CNB110]"),
            "{}",
            response.body
        );
        // Rules that read no Secret still work.
        assert!(
            setup
                .create(ADMIN, &resource(&team, "three", json!({})))
                .await?
                .is_success()
        );
        let response = setup
            .create(ADMIN, &resource(&team, "four", json!({"fromImage": "quay.io/a/b"})))
            .await?;
        assert_eq!(response.code, 422, "{}", response.body);

        setup.done(Method::PATCH, &role, &json!({"rules": whole})).await?;
        until_allowed(&setup.client, &setup.account(), &right, true).await?;
        let response = setup.create(ADMIN, &asking(&team, "five")).await?;
        assert!(
            response.code == 422 && response.message().contains("[CNB110]"),
            "{}",
            response.body
        );
        Ok(())
    })
    .await
}

/// Every `caBundle` of this webhook's configurations.
async fn bundles(setup: &TestInstallation<'_>) -> Result<Vec<Value>> {
    let own = setup.installation.name_of("cnbi-webhook");
    let mut bundles = Vec::new();
    for kind in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
        let path = format!("/apis/admissionregistration.k8s.io/v1/{kind}/{own}");
        let configuration = setup.done(Method::GET, &path, &Value::Null).await?;
        let entries = configuration["webhooks"].as_array().context("no webhooks")?.iter();
        bundles.extend(entries.map(|entry| entry["clientConfig"]["caBundle"].clone()));
    }
    Ok(bundles)
}

#[tokio::test]
async fn all_replicas_serve_certificates_of_one_ca() -> Result<()> {
    TestInstallation::run("replicas", async |setup| {
        let team = setup.namespace();
        let first = bundles(setup).await?;
        assert!(
            first.len() == 3 && first.iter().all(|bundle| bundle.is_string() && *bundle == first[0]),
            "{first:?}"
        );

        // A second replica uses the same CA, and a restarted replica publishes no new one.
        let mut beside = setup.installation.start_beside(shipped::WEBHOOK).await?;
        beside.ready(WITHIN).await?;
        assert_eq!(bundles(setup).await?, first);
        for round in 0..2 {
            setup.stop_webhook().await?;
            let response = setup.dry_run(ADMIN, &resource(&team, "nobody", json!({}))).await?;
            assert!(
                response.code == 500 && response.message().contains("failed calling webhook"),
                "the request must fail without a webhook: {}",
                response.body
            );
            setup.restart().await?;
            for number in 0..10 {
                let response = setup
                    .create(ADMIN, &resource(&team, &format!("n{round}-{number}"), json!({})))
                    .await?;
                assert!(
                    response.is_success(),
                    "a ready replica handles all calls: {}",
                    response.body
                );
            }
            assert_eq!(bundles(setup).await?, first);
        }

        // A cleared bundle is restored. Until then, the API server rejects requests.
        let own = setup.installation.name_of("cnbi-webhook");
        let clear = r#"[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]"#;
        let patch = ["mutatingwebhookconfiguration", &own, "--type=json", "-p", clear];
        setup.cluster.kubectl().arg("patch").args(patch).ok().await?;
        until("the bundle is restored", async || Ok(bundles(setup).await? == first)).await?;
        until("a resource can be created", async || {
            let response = setup.dry_run(ADMIN, &resource(&team, "after", json!({}))).await?;
            assert!(
                response.is_success() || response.message().contains("failed calling webhook"),
                "{}",
                response.body
            );
            Ok(response.is_success())
        })
        .await
    })
    .await
}

/// A Service routes to ready replicas. Here, the webhook configurations name the port of the second replica.
#[tokio::test]
async fn a_replica_started_after_the_first_ended_is_trusted() -> Result<()> {
    TestInstallation::run("takeover", async |setup| {
        let first = bundles(setup).await?;
        let second = setup.installation.start_beside(shipped::WEBHOOK).await?;
        let mut second = second;
        second.ready(WITHIN).await?;
        let configuration = setup.installation.name_of("cnbi-webhook");
        let port = second.port("https")?;
        for (kind, entries) in [("mutatingwebhookconfiguration", 1), ("validatingwebhookconfiguration", 2)] {
            let change = |entry: usize| json!({"op": "replace", "path": format!("/webhooks/{entry}/clientConfig/service/port"), "value": port});
            let changes = Value::from((0..entries).map(change).collect::<Vec<_>>()).to_string();
            let patch = [kind, &configuration, "--type=json", "-p", &changes];
            setup.cluster.kubectl().arg("patch").args(patch).ok().await?;
        }
        setup.stop_webhook().await?;
        let team = setup.namespace();
        until("the second replica is called", async || {
            Ok(setup.dry_run(ADMIN, &resource(&team, "second", json!({}))).await?.is_success())
        })
        .await?;
        let response = setup.dry_run(ADMIN, &asking(&team, "second")).await?;
        assert!(response.code == 422 && response.message().contains("[CNB110]"), "{}", response.body);
        assert_eq!(bundles(setup).await?, first);
        setup.webhook = second;
        Ok(())
    })
    .await
}

/// Uses its own control plane, because the restart would disturb other tests. It has no ImageStream kind.
#[tokio::test]
async fn the_webhook_survives_an_api_server_restart() -> Result<()> {
    let cluster = ControlPlane::start().await?;
    prepare_users(&cluster).await?;
    TestInstallation::run_on(&cluster, "outage", async |setup| {
        let team = setup.namespace();
        let object = resource(&team, "before", json!({}));
        let response = setup.create(ADMIN, &object).await?;
        assert!(
            response.is_success(),
            "without the ImageStream kind, no ImageStream can conflict: {}",
            response.body
        );
        let generation = setup.metric("cnbi_webhook_config_generation").await?;

        // A starting API server returns 403 until it has loaded its roles.
        setup.refused.push("/");
        cluster.stop_api_server().await?;
        until("the webhook reports the API server as unreachable", async || {
            Ok(setup.metric("cnbi_webhook_api_reachable").await? == 0)
        })
        .await?;
        for path in ["/livez", "/readyz"] {
            let answer = get(&setup.webhook, path).await?;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        }
        setup.webhook.ensure_running()?;
        cluster.start_api_server().await?;
        setup.client = cluster.client().await?;
        until("the webhook reports the API server as reachable", async || {
            Ok(setup.metric("cnbi_webhook_api_reachable").await? == 1)
        })
        .await?;

        let response = setup.send_request(Method::GET, &path_of(&object), &Value::Null).await?;
        assert!(response.is_success(), "{}", response.body);
        setup.until_asked(&team).await?;
        let response = setup.create(ADMIN, &asking(&team, "after")).await?;
        assert!(
            response.code == 422 && response.message().contains("[CNB110]"),
            "{}",
            response.body
        );
        // The webhook follows configuration changes again.
        setup
            .configure("targetNamespace: {default: opendatahub}\nimages: {allowed: [registry.example]}")
            .await?;
        assert_eq!(setup.metric("cnbi_webhook_config_generation").await?, generation + 1);
        let response = setup.create(ADMIN, &resource(&team, "strict", json!({}))).await?;
        assert!(
            response.code == 422 && response.message().contains("[CNB106]"),
            "{}",
            response.body
        );
        assert!(!fs::read_to_string(setup.webhook.log())?.contains("panicked"));
        Ok(())
    })
    .await
}
