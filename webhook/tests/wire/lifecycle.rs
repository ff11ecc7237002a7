//! Patches, configuration changes and graceful shutdown.

use std::sync::Arc;

use cnbi_shared::active_config::ObservedConfigMap;
use cnbi_webhook::serve::Phase;
use futures::future::join_all;
use http::header;
use serde_json::{Value, json};

use crate::examples::apply;
use crate::fake::FakeCluster;
use crate::harness::{Setup, present, review_request};
use crate::reviews::{create, resource, review, update};

#[tokio::test]
async fn the_patch_adds_absent_defaults_only() {
    let webhook = Setup::new(Arc::new(FakeCluster::empty())).start().await;
    let mut client = webhook.client().await;
    let mut sent = resource();
    sent["metadata"].as_object_mut().unwrap().remove("annotations");
    sent["metadata"]["labels"] = json!({"z": "1", "a": "2"});
    sent["spec"].as_object_mut().unwrap().remove("targetNamespace");
    sent["spec"]["unknown"] = json!({"kept": [1, 2]});
    let mut object = sent.clone();
    let response = client.post("/mutate", create(&object)).await.response();
    assert_eq!(
        response["auditAnnotations"]["target-namespace-from"],
        "ConfigMap cnbi-system/cnbi-config resourceVersion 1"
    );
    apply(&mut object, &response);
    let mut expected = sent.clone();
    expected["metadata"]["annotations"] = json!({
        "opendatahub.io/notebook-image-name": "example", "opendatahub.io/notebook-image-creator": "alice",
    });
    expected["spec"]["targetNamespace"] = "opendatahub".into();
    assert_eq!(object, expected);

    let again = client.post("/mutate", create(&object)).await.response();
    assert!(again["patch"].is_null() && again["patchType"].is_null(), "{again}");

    // An update without these fields keeps the stored values, and does not change the creator.
    let mut edited = sent;
    let request = review("UPDATE", &edited, &object, "bob").to_string();
    let response = client.post("/mutate", request).await.response();
    apply(&mut edited, &response);
    assert_eq!(edited, object);
    assert_eq!(
        response["auditAnnotations"]["target-namespace-from"],
        "the stored resource"
    );

    let mut dying = object.clone();
    dying["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    dying["spec"].as_object_mut().unwrap().remove("targetNamespace");
    let response = client.post("/mutate", update(&dying, &dying)).await.response();
    assert!(response["allowed"] == true && response["patch"].is_null(), "{response}");
}

#[tokio::test]
async fn a_new_configuration_is_active_at_once_and_an_invalid_one_causes_warnings() {
    let webhook = Setup::new(Arc::new(FakeCluster::empty())).start().await;
    let mut client = webhook.client().await;
    let mut object = resource();
    object["spec"].as_object_mut().unwrap().remove("targetNamespace");
    let target = |response: &Value| {
        let mut patched = object.clone();
        apply(&mut patched, response);
        patched["spec"]["targetNamespace"].clone()
    };
    assert_eq!(
        target(&client.post("/mutate", create(&object)).await.response()),
        "opendatahub"
    );
    webhook
        .configuration
        .observe(present("targetNamespace: {default: gpu}", "2"));
    let response = client.post("/mutate", create(&object)).await.response();
    assert_eq!(target(&response), "gpu");
    assert!(response["warnings"].is_null());

    for seen in [present("targetNamespcae: {}", "3"), ObservedConfigMap::Missing] {
        webhook.configuration.observe(seen);
        for path in ["/mutate", "/validate"] {
            let response = client.post(path, create(&resource())).await.response();
            let warnings = response["warnings"].as_array().unwrap();
            let flagged = warnings
                .iter()
                .filter_map(Value::as_str)
                .find(|text| text.contains("last valid configuration"));
            assert!(flagged.unwrap().contains("cnbi-system/cnbi-config"), "{response}");
        }
        assert_eq!(target(&client.post("/mutate", create(&object)).await.response()), "gpu");
    }
}

#[tokio::test]
async fn an_invalid_configuration_is_rejected_in_our_config_map_only() {
    let webhook = Setup::new(Arc::new(FakeCluster::empty())).start().await;
    let mut client = webhook.client().await;
    let request = |name: &str, namespace: &str, data: Value| {
        json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "c", "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
                "resource": {"group": "", "version": "v1", "resource": "configmaps"},
                "name": name, "namespace": namespace, "operation": "CREATE", "userInfo": {"username": "admin"},
                "object": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data},
            },
        })
        .to_string()
    };
    let bad = json!({"config.yaml": "rules: {CNB101: Off}"});
    let response = client
        .post("/validate-config", request("cnbi-config", "cnbi-system", bad.clone()))
        .await
        .response();
    assert_eq!(
        (&response["uid"], &response["status"]["code"]),
        (&json!("c"), &json!(422))
    );
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.contains("data[config.yaml]: rules.CNB101: "), "{message}");
    assert_eq!(response["status"]["details"]["causes"][0]["field"], "data[config.yaml]");
    let twice = json!({"config.yaml": "images: {allowed: [quay]}\nrepositories: {allowed: ['https://github.com']}"});
    let response = client
        .post("/validate-config", request("cnbi-config", "cnbi-system", twice))
        .await
        .response();
    let message = response["status"]["message"].as_str().unwrap();
    for place in ["\n* images.allowed[0]: ", "\n* repositories.allowed[0]: "] {
        assert!(message.contains(place), "{message}");
    }
    assert_eq!(response["status"]["details"]["causes"].as_array().unwrap().len(), 2);
    for (name, namespace, data, is_allowed) in [
        ("other", "cnbi-system", bad.clone(), true),
        ("cnbi-config", "elsewhere", bad, true),
        ("cnbi-config", "cnbi-system", json!({"config.yaml": ""}), true),
        ("cnbi-config", "cnbi-system", json!({"config.yml": ""}), false),
        ("cnbi-config", "cnbi-system", Value::Null, false),
    ] {
        let response = client
            .post("/validate-config", request(name, namespace, data))
            .await
            .response();
        assert_eq!(response["allowed"], is_allowed, "{response}");
    }
    let wrong = client.post("/validate-config", create(&resource())).await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn reviews_fail_without_a_configuration() {
    let webhook = Setup::new(Arc::new(FakeCluster::empty())).start().await;
    let reviewer = cnbi_webhook::reviewer::Reviewer {
        configuration: Arc::new(cnbi_runtime::configuration::Configuration::new(
            "cnbi-system",
            "cnbi-config",
        )),
        source: Arc::new(FakeCluster::empty()),
        metrics: Arc::clone(&webhook.metrics),
        fact_limit: std::time::Duration::from_secs(1),
    };
    let request = create(&resource());
    let answer = reviewer
        .review(cnbi_webhook::reviewer::Webhook::Mutate, request.as_bytes())
        .await
        .unwrap();
    let review: Value = serde_json::from_slice(&answer.json).unwrap();
    assert_eq!(review["response"]["status"]["code"], 503);
    let message = review["response"]["status"]["message"].as_str().unwrap();
    assert!(message.contains("cnbi-system/cnbi-config: not read yet"), "{message}");
}

#[tokio::test]
async fn a_graceful_shutdown_loses_no_request() {
    let cluster = Arc::new(FakeCluster::hanging());
    let webhook = Arc::new(Setup::new(cluster.clone()).start().await);

    // One request is in flight until the end.
    let mut last = webhook.client().await;
    let mut create_with_secret = resource();
    create_with_secret["spec"]["imagePullSecret"] = json!({"name": "quay"});
    let last = tokio::spawn(async move { last.post("/validate", create(&create_with_secret)).await });
    cluster.started.acquire().await.unwrap().forget();

    // Other clients send requests until their connection is closed.
    let begun = Arc::new(tokio::sync::Barrier::new(9));
    let clients = (0..8).map(|_| {
        let (webhook, begun) = (Arc::clone(&webhook), Arc::clone(&begun));
        tokio::spawn(async move {
            let mut client = webhook.client().await;
            let mut answered = 0;
            begun.wait().await;
            loop {
                let reply = client
                    .send(review_request("/mutate", create(&resource())))
                    .await
                    .unwrap();
                assert_eq!(reply.response()["allowed"], true);
                answered += 1;
                if reply
                    .headers
                    .get(header::CONNECTION)
                    .is_some_and(|value| value == "close")
                {
                    return answered;
                }
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    begun.wait().await;
    webhook.phase.send_replace(Phase::Draining);
    for answered in join_all(clients).await {
        assert!(answered.unwrap() > 0);
    }
    // New connections are still accepted while endpoints drain.
    let late = webhook.post("/mutate", create(&resource())).await;
    assert_eq!(late.headers[header::CONNECTION], "close");

    webhook.phase.send_replace(Phase::Stopping);
    while webhook.dial().await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!webhook.running.is_finished(), "a request is in flight");
    cluster.release.add_permits(100);
    assert_eq!(last.await.unwrap().response()["status"]["code"], 422);
    let mut webhook = Arc::into_inner(webhook).unwrap();
    (&mut webhook.running).await.unwrap();
    assert_eq!(webhook.open.get(), 0);
}
