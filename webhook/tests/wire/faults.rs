//! Slow and disconnecting clients, failing lookups, and overload.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cnbi_shared::facts::{Lookup, LookupResult, PullSecret};
use cnbi_webhook::admission_request::UserInfo;
use cnbi_webhook::facts::LookupError;
use http::{StatusCode, header};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::fake::FakeCluster;
use crate::harness::{Setup, Webhook};
use crate::reviews::{create, resource, review};

/// A review that needs lookups.
fn create_with_secret() -> String {
    let mut object = resource();
    object["spec"]["imagePullSecret"] = json!({"name": "quay"});
    create(&object)
}

#[tokio::test]
async fn lookups_end_at_the_deadline() {
    let mut setup = Setup::new(Arc::new(FakeCluster::hanging()));
    setup.fact_limit = Duration::from_millis(30);
    let webhook = setup.start().await;
    let response = webhook.post("/validate", create_with_secret()).await.response();
    assert_eq!(response["status"]["code"], 503, "{response}");
    let message = response["status"]["message"].as_str().unwrap();
    assert!(
        message.contains("Secret team-a/quay was not read within 30ms"),
        "{message}"
    );
    assert!(message.contains("[CNB110]"), "{message}");
}

#[tokio::test]
async fn facts_are_read_concurrently_and_for_the_user() {
    let cluster = Arc::new(FakeCluster::hanging());
    let webhook = Setup::new(cluster.clone()).start().await;
    let mut client = webhook.client().await;
    let answered = tokio::spawn(async move { client.post("/validate", create_with_secret()).await });
    // All lookups have started, and none has ended.
    let lookups = cluster.started.acquire_many(3).await.unwrap();
    assert!(
        cluster
            .lookups
            .lock()
            .unwrap()
            .iter()
            .any(|lookup| matches!(lookup, Lookup::Secret { .. }))
    );
    lookups.forget();
    cluster.respond_with(|lookup, user| {
        assert_eq!((user.username.as_str(), user.uid.as_deref()), ("alice", Some("u")));
        assert_eq!(user.groups.as_deref(), Some(&["system:authenticated".to_owned()][..]));
        assert_eq!(user.extra.as_ref().unwrap()["a"], ["b"]);
        Ok(match lookup {
            Lookup::Access { .. } | Lookup::Namespace { .. } => LookupResult::Yes,
            _ => LookupResult::No,
        })
    });
    cluster.release.add_permits(100);
    let response = answered.await.unwrap().response();
    assert_eq!(response["status"]["code"], 422, "{response}");
    let cause = &response["status"]["details"]["causes"][0];
    assert_eq!(
        (&cause["reason"], &cause["field"]),
        (&json!("FieldValueNotFound"), &json!("spec.imagePullSecret.name"))
    );
}

/// Lookups of a cluster with this Secret, in which every user has every permission.
fn with_secret(
    secret: PullSecret,
) -> impl Fn(&Lookup, &UserInfo) -> Result<LookupResult, LookupError> + Send + Sync + 'static {
    move |lookup, _| {
        Ok(match lookup {
            Lookup::Secret { .. } => LookupResult::Secret(secret.clone()),
            Lookup::Access { .. } | Lookup::Namespace { .. } => LookupResult::Yes,
            _ => LookupResult::No,
        })
    }
}

#[tokio::test]
async fn a_stale_cache_does_not_cause_findings() {
    let usable = PullSecret::Registries(vec!["quay.io".to_owned()]);
    for cached in [
        PullSecret::WrongType,
        PullSecret::Unreadable,
        PullSecret::Registries(vec![]),
    ] {
        let cluster = Arc::new(FakeCluster::new(with_secret(usable.clone())));
        cluster.respond_from_cache_with(with_secret(cached.clone()));
        let webhook = Setup::new(cluster.clone()).start().await;
        let response = webhook.post("/validate", create_with_secret()).await.response();
        assert_eq!(response["allowed"], true, "{cached:?}: {response}");
        assert!(response["warnings"].is_null(), "{cached:?}: {response}");

        cluster.respond_with(with_secret(cached.clone()));
        let response = webhook.post("/validate", create_with_secret()).await.response();
        let found = format!("{}{}", response["warnings"], response["status"]["message"]);
        assert!(found.contains("spec.imagePullSecret.name"), "{cached:?}: {response}");
    }
}

#[tokio::test]
async fn facts_in_the_users_favour_are_read_once() {
    let usable = PullSecret::Registries(vec!["quay.io".to_owned()]);
    let cluster = Arc::new(FakeCluster::new(with_secret(usable)));
    let webhook = Setup::new(cluster.clone()).start().await;
    assert_eq!(
        webhook.post("/validate", create_with_secret()).await.response()["allowed"],
        true
    );
    let lookups = cluster.lookups.lock().unwrap();
    let different: BTreeSet<&Lookup> = lookups.iter().collect();
    assert!(different.iter().any(|lookup| matches!(lookup, Lookup::Secret { .. })));
    assert_eq!(different.len(), lookups.len(), "{lookups:?}");
}

#[tokio::test]
async fn a_panic_fails_one_request_only() {
    let cluster = Arc::new(FakeCluster::new(|lookup, _| panic!("looked up {lookup}")));
    let webhook = Setup::new(cluster.clone()).start().await;
    let reply = webhook.post("/validate", create_with_secret()).await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!reply.text().contains("quay"), "{}", reply.text());
    assert_eq!(webhook.metrics.panics.get(), 1);
    assert_eq!(webhook.metrics.in_flight.get(), 0);
    cluster.respond_with(|_, _| Ok(LookupResult::Yes));
    assert_eq!(
        webhook.post("/mutate", create(&resource())).await.response()["allowed"],
        true
    );
}

#[tokio::test]
async fn reviews_over_the_limit_are_rejected_at_once() {
    let cluster = Arc::new(FakeCluster::hanging());
    let mut setup = Setup::new(cluster.clone());
    setup.in_flight = 1;
    setup.queue = 0;
    let webhook = setup.start().await;
    let mut first = webhook.client().await;
    let first = tokio::spawn(async move { first.post("/validate", create_with_secret()).await });
    cluster.started.acquire().await.unwrap().forget();
    assert_eq!(webhook.metrics.in_flight.get(), 1);

    let mut client = webhook.client().await;
    for _ in 0..3 {
        let rejected = client.post("/validate", create_with_secret()).await;
        assert_eq!(rejected.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(rejected.headers.get(header::RETRY_AFTER).is_none());
        assert!(
            rejected.headers.get(header::CONNECTION).is_none(),
            "a new handshake would cost more than this"
        );
    }
    cluster.release.add_permits(100);
    assert_eq!(first.await.unwrap().response()["status"]["code"], 422);
    assert_eq!(
        client.post("/mutate", create(&resource())).await.response()["allowed"],
        true
    );
}

async fn response_to_part(webhook: &Webhook, begin: &[u8]) -> String {
    let mut slow = webhook.dial().await.unwrap();
    slow.write_all(begin).await.unwrap();
    let mut response = String::new();
    // The connection may end with or without a TLS close.
    let _ = slow.read_to_string(&mut response).await;
    response
}

#[tokio::test]
async fn slow_heads_bodies_and_handshakes_time_out_and_idle_connections_do_not() {
    let mut setup = Setup::new(Arc::new(FakeCluster::empty()));
    setup.timeouts.header = Duration::from_millis(50);
    // Long enough for the other clients on a busy machine.
    setup.timeouts.handshake = Duration::from_secs(3);
    setup.request_limit = Duration::from_secs(3);
    let webhook = setup.start().await;
    let spare = webhook.client().await;
    let mut steady = webhook.client().await;
    assert_eq!(
        steady.post("/mutate", create(&resource())).await.response()["allowed"],
        true
    );

    assert_eq!(
        response_to_part(&webhook, b"POST /mutate HTTP/1.1\r\nHost: lo").await,
        ""
    );
    let body =
        b"POST /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let response = response_to_part(&webhook, body).await;
    assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
    let mut without_handshake = tokio::net::TcpStream::connect(webhook.address).await.unwrap();
    let mut nothing = Vec::new();
    let _ = without_handshake.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty(), "a connection without a handshake is closed");

    // Connections that were idle for longer than the header timeout are still open, even if never used.
    for mut client in [steady, spare] {
        assert_eq!(
            client.post("/mutate", create(&resource())).await.response()["allowed"],
            true
        );
    }
}

#[tokio::test]
async fn a_client_that_disconnects_ends_its_review() {
    let cluster = Arc::new(FakeCluster::hanging());
    let webhook = Setup::new(cluster.clone()).start().await;
    let mut client = webhook.client().await;
    let gone = tokio::spawn(async move { client.post("/validate", create_with_secret()).await });
    cluster.started.acquire().await.unwrap().forget();
    assert_eq!(webhook.metrics.in_flight.get(), 1);
    gone.abort();
    while webhook.metrics.in_flight.get() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn only_registered_paths_and_methods_are_served() {
    let webhook = Setup::new(Arc::new(FakeCluster::empty())).start().await;
    let body = review("CREATE", &resource(), &json!(null), "alice").to_string();
    assert_eq!(webhook.post("/other", body).await.status, StatusCode::NOT_FOUND);
    let get = http::Request::get("/mutate")
        .header(header::HOST, "localhost")
        .body(http_body_util::Full::default());
    let reply = webhook.client().await.send(get.unwrap()).await.unwrap();
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn connections_without_a_handshake_block_no_review_and_time_out() {
    let mut setup = Setup::new(Arc::new(FakeCluster::empty()));
    setup.connections = 40;
    setup.timeouts.handshake = Duration::from_secs(2);
    let webhook = setup.start().await;
    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(tokio::net::TcpStream::connect(webhook.address).await.unwrap());
    }
    let reply = webhook.post("/validate", create(&resource())).await;
    assert_eq!(reply.response()["allowed"], true);
    for mut stream in silent {
        let mut response = Vec::new();
        // The connection may end with or without a TLS close.
        let _ = stream.read_to_end(&mut response).await;
        assert!(
            response.is_empty(),
            "the server sent data on a connection without a handshake"
        );
    }
    while webhook.open.get() > 1 {
        tokio::task::yield_now().await;
    }
}
