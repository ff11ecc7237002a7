//! What the webhook stands on is taken away and given back: its rights, its certificates, itself, the API server.

use std::fs;

use anyhow::{Context as _, Result};
use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::shipped;
use http::Method;
use serde_json::{Value, json};

use crate::cluster::{ADMIN, WITHIN, path_of, prepare_users, resource, until, until_allowed};
use crate::test_installation::{Site, get};

/// A resource that has the cluster asked about everything.
fn asking(namespace: &str, name: &str) -> Value {
    resource(namespace, name, json!({"imagePullSecret": {"name": "quay"}}))
}

#[tokio::test]
async fn what_may_not_be_read_is_named_and_never_taken_for_an_answer() -> Result<()> {
    Site::run("rights", async |site| {
        let team = site.namespace();
        let told = site.create(ADMIN, &asking(&team, "one")).await?;
        assert!(told.code == 422 && told.message().contains("[CNB110]"), "{}", told.body);

        let role = format!(
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/{}",
            site.installation.name_of("cnbi-webhook")
        );
        let whole = site.done(Method::GET, &role, &Value::Null).await?["rules"].take();
        let mut rules = whole.clone();
        rules
            .as_array_mut()
            .context("no rules")?
            .retain(|rule| rule["resources"] != json!(["secrets"]));
        site.refused.push("/secrets/quay");
        site.done(Method::PATCH, &role, &json!({"rules": rules})).await?;
        let right = json!({"resource": "secrets", "verb": "get", "name": "quay", "namespace": team});
        until_allowed(&site.client, &site.account(), &right, false).await?;

        let told = site.create(ADMIN, &asking(&team, "two")).await?;
        assert_eq!(
            (told.code, &told.body["reason"]),
            (503, &json!("ServiceUnavailable")),
            "{}",
            told.body
        );
        let wanted = format!("Secret {team}/quay cannot be read: cnbi-webhook has no permission");
        assert!(
            told.message().contains(&wanted) && told.message().contains("[CNB110]"),
            "{}",
            told.body
        );
        // What hangs on no such fact is judged as ever.
        assert!(
            site.create(ADMIN, &resource(&team, "three", json!({})))
                .await?
                .is_success()
        );
        let told = site
            .create(ADMIN, &resource(&team, "four", json!({"fromImage": "quay.io/a/b"})))
            .await?;
        assert_eq!(told.code, 422, "{}", told.body);

        site.done(Method::PATCH, &role, &json!({"rules": whole})).await?;
        until_allowed(&site.client, &site.account(), &right, true).await?;
        let told = site.create(ADMIN, &asking(&team, "five")).await?;
        assert!(told.code == 422 && told.message().contains("[CNB110]"), "{}", told.body);
        Ok(())
    })
    .await
}

/// Every `caBundle` that the API server trusts this webhook by.
async fn bundles(site: &Site<'_>) -> Result<Vec<Value>> {
    let own = site.installation.name_of("cnbi-webhook");
    let mut bundles = Vec::new();
    for kind in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
        let path = format!("/apis/admissionregistration.k8s.io/v1/{kind}/{own}");
        let configuration = site.done(Method::GET, &path, &Value::Null).await?;
        let entries = configuration["webhooks"].as_array().context("no webhooks")?.iter();
        bundles.extend(entries.map(|entry| entry["clientConfig"]["caBundle"].clone()));
    }
    Ok(bundles)
}

#[tokio::test]
async fn whoever_serves_is_trusted_by_the_one_ca() -> Result<()> {
    Site::run("replicas", async |site| {
        let team = site.namespace();
        let first = bundles(site).await?;
        assert!(
            first.len() == 3 && first.iter().all(|bundle| bundle.is_string() && *bundle == first[0]),
            "{first:?}"
        );

        // A second replica shares the CA; when the first has crashed, its place is taken without anything to publish.
        let mut beside = site.installation.start_beside(shipped::WEBHOOK).await?;
        beside.ready(WITHIN).await?;
        assert_eq!(bundles(site).await?, first);
        for round in 0..2 {
            site.stop_webhook().await?;
            let told = site.dry_run(ADMIN, &resource(&team, "nobody", json!({}))).await?;
            assert!(
                told.code == 500 && told.message().contains("failed calling webhook"),
                "fails closed: {}",
                told.body
            );
            site.restart().await?;
            for number in 0..10 {
                let told = site
                    .create(ADMIN, &resource(&team, &format!("n{round}-{number}"), json!({})))
                    .await?;
                assert!(told.is_success(), "no call is lost once it is ready: {}", told.body);
            }
            assert_eq!(bundles(site).await?, first);
        }

        // Who clears the bundle by hand gets it back. Until then the API server refuses what it cannot have judged.
        let own = site.installation.name_of("cnbi-webhook");
        let clear = r#"[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]"#;
        let patch = ["mutatingwebhookconfiguration", &own, "--type=json", "-p", clear];
        site.cluster.kubectl().arg("patch").args(patch).ok().await?;
        until("the bundle is back", async || Ok(bundles(site).await? == first)).await?;
        until("a resource can be created", async || {
            let told = site.dry_run(ADMIN, &resource(&team, "after", json!({}))).await?;
            assert!(
                told.is_success() || told.message().contains("failed calling webhook"),
                "{}",
                told.body
            );
            Ok(told.is_success())
        })
        .await
    })
    .await
}

/// The Service leads to whichever replica is ready. Here it leads to a port, which a second replica takes over.
#[tokio::test]
async fn a_replica_that_never_met_the_first_is_trusted_as_well() -> Result<()> {
    Site::run("takeover", async |site| {
        let first = bundles(site).await?;
        let second = site.installation.start_beside(shipped::WEBHOOK).await?;
        let mut second = second;
        second.ready(WITHIN).await?;
        let configuration = site.installation.name_of("cnbi-webhook");
        let port = second.port("https")?;
        for (kind, entries) in [("mutatingwebhookconfiguration", 1), ("validatingwebhookconfiguration", 2)] {
            let change = |entry: usize| json!({"op": "replace", "path": format!("/webhooks/{entry}/clientConfig/service/port"), "value": port});
            let changes = Value::from((0..entries).map(change).collect::<Vec<_>>()).to_string();
            let patch = [kind, &configuration, "--type=json", "-p", &changes];
            site.cluster.kubectl().arg("patch").args(patch).ok().await?;
        }
        site.stop_webhook().await?;
        let team = site.namespace();
        until("the second is asked", async || {
            Ok(site.dry_run(ADMIN, &resource(&team, "second", json!({}))).await?.is_success())
        })
        .await?;
        let told = site.dry_run(ADMIN, &asking(&team, "second")).await?;
        assert!(told.code == 422 && told.message().contains("[CNB110]"), "{}", told.body);
        assert_eq!(bundles(site).await?, first);
        site.webhook = second;
        Ok(())
    })
    .await
}

/// On a control plane of its own, because everything on it notices; and one that knows no ImageStreams.
#[tokio::test]
async fn the_webhook_outlives_the_api_server() -> Result<()> {
    let cluster = ControlPlane::start().await?;
    prepare_users(&cluster).await?;
    Site::run_on(&cluster, "outage", async |site| {
        let team = site.namespace();
        let object = resource(&team, "before", json!({}));
        let told = site.create(ADMIN, &object).await?;
        assert!(
            told.is_success(),
            "no ImageStream can be in the way where there are none: {}",
            told.body
        );
        let generation = site.metric("cnbi_webhook_config_generation").await?;

        // An API server that starts serves before it has read its own roles, and says 403 where it does not know yet.
        site.refused.push("/");
        cluster.stop_api_server().await?;
        until("the webhook has noticed", async || {
            Ok(site.metric("cnbi_webhook_api_reachable").await? == 0)
        })
        .await?;
        for path in ["/livez", "/readyz"] {
            let answer = get(&site.webhook, path).await?;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        }
        site.webhook.ensure_running()?;
        cluster.start_api_server().await?;
        site.client = cluster.client().await?;
        until("the webhook has noticed", async || {
            Ok(site.metric("cnbi_webhook_api_reachable").await? == 1)
        })
        .await?;

        let told = site.ask(Method::GET, &path_of(&object), &Value::Null).await?;
        assert!(told.is_success(), "{}", told.body);
        site.until_asked(&team).await?;
        let told = site.create(ADMIN, &asking(&team, "after")).await?;
        assert!(told.code == 422 && told.message().contains("[CNB110]"), "{}", told.body);
        // It follows the configuration again.
        site.configure("targetNamespace: {default: opendatahub}\nimages: {allowed: [registry.example]}")
            .await?;
        assert_eq!(site.metric("cnbi_webhook_config_generation").await?, generation + 1);
        let told = site.create(ADMIN, &resource(&team, "strict", json!({}))).await?;
        assert!(told.code == 422 && told.message().contains("[CNB106]"), "{}", told.body);
        assert!(!fs::read_to_string(site.webhook.log())?.contains("panicked"));
        Ok(())
    })
    .await
}
