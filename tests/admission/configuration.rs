//! Invalid, deleted and changed configuration.

use anyhow::{Context as _, Result};
use cnbi_shared::config::{KEY, SHIPPED};
use cnbi_tests::installation::{Replica, shipped};
use cnbi_tests::process::Fault;
use http::Method;
use serde_json::{Value, json};

use crate::api_response::ApiResponse;
use crate::cluster::{ADMIN, WITHIN, cluster, resource, until};
use crate::test_installation::{TestInstallation, get};

/// Allows images of one registry only.
const STRICT: &str = "targetNamespace: {default: opendatahub}\nimages: {allowed: [registry.example]}";

#[tokio::test]
async fn an_invalid_configuration_is_rejected_on_write() -> Result<()> {
    TestInstallation::run("config-refused", async |setup| {
        for (yaml, reason) in [
            ("rules: {CNB101: Off}", "rules.CNB101"),
            ("rules: {CNB110: Sometimes}", "Sometimes"),
            ("rules: {CNB999: Off}", "CNB999"),
            ("targetNamespcae: {}", "targetNamespcae"),
            ("[", ""),
        ] {
            let response = setup
                .send_request(Method::PATCH, &setup.config_map(), &json!({"data": {KEY: yaml}}))
                .await?;
            assert_eq!(response.code, 422, "{yaml}: {}", response.body);
            let cause = &response.body["details"]["causes"][0];
            assert_eq!(cause["field"], format!("data[{KEY}]"), "{}", response.body);
            assert!(response.message().contains(reason), "{}", response.body);
        }
        let response = setup
            .send_request(Method::PATCH, &setup.config_map(), &json!({"data": {KEY: null}}))
            .await?;
        assert!(
            response.code == 422 && response.message().contains("is missing"),
            "{}",
            response.body
        );
        // Other ConfigMaps in the namespace are not validated.
        let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}, "data": {KEY: "["}});
        let path = setup.config_map().replace("/cnbi-config", "");
        setup.done(Method::POST, &path, &other).await?;
        assert_eq!(setup.metric("cnbi_webhook_config_valid").await?, 1);
        Ok(())
    })
    .await
}

/// The responses for a resource that the strict configuration allows, and for one that it rejects.
async fn both(setup: &TestInstallation<'_>) -> Result<(ApiResponse, ApiResponse)> {
    let good = resource(
        &setup.namespace(),
        "good",
        json!({"fromImage": "registry.example/a/b:v1"}),
    );
    let bad = resource(&setup.namespace(), "bad", json!({}));
    Ok((setup.dry_run(ADMIN, &good).await?, setup.dry_run(ADMIN, &bad).await?))
}

/// Fails unless the last valid configuration is active and each response warns about the invalid one.
async fn keeps_the_last_good_one(setup: &TestInstallation<'_>, problem: &str) -> Result<()> {
    until("the webhook reports an invalid configuration", async || {
        Ok(setup.metric("cnbi_webhook_config_valid").await? == 0)
    })
    .await?;
    let (good, bad) = both(setup).await?;
    assert_eq!((good.code, bad.code), (201, 422), "{} {}", good.body, bad.body);
    assert!(bad.message().contains("[CNB106]"), "{}", bad.body);
    for response in [&good, &bad] {
        let warning = response
            .warnings
            .iter()
            .find(|text| text.contains("the last valid configuration is active"));
        let warning = warning.with_context(|| format!("no warning: {:?}", response.warnings))?;
        assert!(warning.contains(problem), "{warning}");
    }
    let ready = get(&setup.webhook, "/readyz").await?;
    assert!(
        ready.starts_with("HTTP/1.1 200 "),
        "the replica is still ready: {ready}"
    );
    Ok(())
}

/// Waits until `/readyz` of a replica reports this reason.
async fn until_it_says(replica: &Replica, reason: &str) -> Result<()> {
    until(&format!("/readyz reports {reason}"), async || {
        // The replica may not listen yet.
        let answer = get(replica, "/readyz").await.unwrap_or_default();
        Ok(answer.starts_with("HTTP/1.1 503 ") && answer.contains(reason))
    })
    .await
}

/// A terminating replica fails `/readyz`, but still passes the Deployment's readiness probe: if no other endpoint exists,
/// kube-proxy uses terminating ones that are ready.
#[tokio::test]
async fn a_terminating_replica_is_unready() -> Result<()> {
    let mut options = shipped::default(Some("leaving"));
    let grace = ("--grace-ms".to_owned(), "120000".to_owned());
    options.flags.insert(shipped::WEBHOOK.to_owned(), vec![grace]);
    TestInstallation::run_with(cluster().await?, options, async |setup| {
        let mut replica = setup.installation.start_beside(shipped::WEBHOOK).await?;
        replica.ready(WITHIN).await?;
        replica.send(Fault::Terminate)?;
        until_it_says(&replica, "shutting down").await?;
        replica.ready(WITHIN).await
    })
    .await
}

#[tokio::test]
async fn a_deleted_or_invalid_configuration_keeps_the_active_one() -> Result<()> {
    TestInstallation::run("config-spoilt", async |setup| {
        setup.configure(STRICT).await?;
        let generation = setup.metric("cnbi_webhook_config_generation").await?;

        // Remove the webhook for ConfigMaps, so that the invalid configuration can be stored.
        let own = setup.installation.name_of("cnbi-webhook");
        let configuration = format!("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{own}");
        let mut entries = setup.done(Method::GET, &configuration, &Value::Null).await?["webhooks"].take();
        let whole = entries.clone();
        entries.as_array_mut().context("no webhooks")?.retain(|entry| entry["name"] == "validate.customnbimages.meteor.zone");
        setup.done(Method::PATCH, &configuration, &json!({"webhooks": entries})).await?;
        let spoilt = json!({"data": {KEY: "rulse: {}"}});
        until("the webhook for ConfigMaps is not called", async || {
            Ok(setup.send_request(Method::PATCH, &setup.config_map(), &spoilt).await?.is_success())
        })
        .await?;
        keeps_the_last_good_one(setup, "unknown field").await?;

        // A new replica has no valid configuration, so it is not ready.
        let late = setup.installation.start_beside(shipped::WEBHOOK).await?;
        until_it_says(&late, "rulse").await?;
        assert!(get(&late, "/livez").await?.starts_with("HTTP/1.1 200 "), "a restart would not help, so /livez succeeds");

        setup.done(Method::DELETE, &setup.config_map(), &Value::Null).await?;
        until_it_says(&late, ": not found").await?;
        keeps_the_last_good_one(setup, ": not found").await?;
        assert_eq!(setup.metric("cnbi_webhook_config_generation").await?, generation);

        // Both replicas load a valid configuration.
        let good = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cnbi-config"}, "data": {KEY: SHIPPED}});
        setup.done(Method::POST, &setup.config_map().replace("/cnbi-config", ""), &good).await?;
        let mut late = late;
        late.ready(WITHIN).await?;
        until("it is active", async || Ok(setup.metric("cnbi_webhook_config_generation").await? > generation)).await?;
        let (good, bad) = both(setup).await?;
        assert!(good.is_success() && bad.is_success() && good.warnings.is_empty(), "{} {}", good.body, bad.body);
        setup.done(Method::PATCH, &configuration, &json!({"webhooks": whole})).await?;
        Ok(())
    })
    .await
}
