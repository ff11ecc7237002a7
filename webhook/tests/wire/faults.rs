//! Clients and clusters that misbehave, and many at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cnbi_shared::facts::{Lookup, LookupResult, PullSecret};
use cnbi_webhook::facts::Unread;
use cnbi_webhook::review::User;
use http::{StatusCode, header};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::fake::FakeCluster;
use crate::harness::{Setup, Webhook};
use crate::reviews::{create, resource, review};

/// A review that has the cluster asked.
fn asks() -> String {
    let mut object = resource();
    object["spec"]["imagePullSecret"] = json!({"name": "quay"});
    create(&object)
}

#[tokio::test]
async fn a_cluster_that_hangs_is_given_up_at_the_deadline() {
    let mut setup = Setup::new(Arc::new(FakeCluster::hanging()));
    setup.fact_limit = Duration::from_millis(30);
    let webhook = setup.start().await;
    let response = webhook.post("/validate", asks()).await.response();
    assert_eq!(response["status"]["code"], 503, "{response}");
    let message = response["status"]["message"].as_str().unwrap();
    assert!(
        message.contains("Secret team-a/quay was not read within 30ms"),
        "{message}"
    );
    assert!(message.contains("[CNB110]"), "{message}");
}

#[tokio::test]
async fn all_facts_are_asked_for_side_by_side_and_for_the_user() {
    let cluster = Arc::new(FakeCluster::hanging());
    let webhook = Setup::new(cluster.clone()).start().await;
    let mut client = webhook.client().await;
    let answered = tokio::spawn(async move { client.post("/validate", asks()).await });
    // Nobody has been answered yet, and everything has been asked.
    let asked = cluster.questions.acquire_many(3).await.unwrap();
    assert!(
        cluster
            .asked
            .lock()
            .unwrap()
            .iter()
            .any(|need| matches!(need, Lookup::Secret { .. }))
    );
    asked.forget();
    cluster.play(|need, user| {
        assert_eq!((user.username.as_str(), user.uid.as_deref()), ("alice", Some("u")));
        assert_eq!(user.groups.as_deref(), Some(&["system:authenticated".to_owned()][..]));
        assert_eq!(user.extra.as_ref().unwrap()["a"], ["b"]);
        Ok(match need {
            Lookup::Access { .. } | Lookup::Namespace { .. } => LookupResult::Yes,
            _ => LookupResult::No,
        })
    });
    cluster.leave.add_permits(100);
    let response = answered.await.unwrap().response();
    assert_eq!(response["status"]["code"], 422, "{response}");
    let cause = &response["status"]["details"]["causes"][0];
    assert_eq!(
        (&cause["reason"], &cause["field"]),
        (&json!("FieldValueNotFound"), &json!("spec.imagePullSecret.name"))
    );
}

/// Answers of a cluster with that Secret, in which everybody may do everything.
fn with_secret(secret: PullSecret) -> impl Fn(&Lookup, &User) -> Result<LookupResult, Unread> + Send + Sync + 'static {
    move |need, _| {
        Ok(match need {
            Lookup::Secret { .. } => LookupResult::Secret(secret.clone()),
            Lookup::Access { .. } | Lookup::Namespace { .. } => LookupResult::Yes,
            _ => LookupResult::No,
        })
    }
}

#[tokio::test]
async fn what_was_put_right_a_moment_ago_is_not_held_against_anybody() {
    let usable = PullSecret::Registries(vec!["quay.io".to_owned()]);
    for earlier in [
        PullSecret::WrongType,
        PullSecret::Unreadable,
        PullSecret::Registries(vec![]),
    ] {
        let cluster = Arc::new(FakeCluster::new(with_secret(usable.clone())));
        cluster.play_earlier(with_secret(earlier.clone()));
        let webhook = Setup::new(cluster.clone()).start().await;
        let response = webhook.post("/validate", asks()).await.response();
        assert_eq!(response["allowed"], true, "{earlier:?}: {response}");
        assert!(response["warnings"].is_null(), "{earlier:?}: {response}");

        cluster.play(with_secret(earlier.clone()));
        let response = webhook.post("/validate", asks()).await.response();
        let found = format!("{}{}", response["warnings"], response["status"]["message"]);
        assert!(found.contains("spec.imagePullSecret.name"), "{earlier:?}: {response}");
    }
}

#[tokio::test]
async fn what_is_in_the_users_favour_is_asked_for_once() {
    let usable = PullSecret::Registries(vec!["quay.io".to_owned()]);
    let cluster = Arc::new(FakeCluster::new(with_secret(usable)));
    let webhook = Setup::new(cluster.clone()).start().await;
    assert_eq!(webhook.post("/validate", asks()).await.response()["allowed"], true);
    let asked = cluster.asked.lock().unwrap();
    let different: BTreeSet<&Lookup> = asked.iter().collect();
    assert!(different.iter().any(|need| matches!(need, Lookup::Secret { .. })));
    assert_eq!(different.len(), asked.len(), "{asked:?}");
}

#[tokio::test]
async fn a_panic_is_one_failed_request() {
    let cluster = Arc::new(FakeCluster::new(|need, _| panic!("asked for {need}")));
    let webhook = Setup::new(cluster.clone()).start().await;
    let reply = webhook.post("/validate", asks()).await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!reply.text().contains("quay"), "{}", reply.text());
    assert_eq!(webhook.metrics.panics.get(), 1);
    assert_eq!(webhook.metrics.in_flight.get(), 0);
    cluster.play(|_, _| Ok(LookupResult::Yes));
    assert_eq!(
        webhook.post("/mutate", create(&resource())).await.response()["allowed"],
        true
    );
}

#[tokio::test]
async fn over_the_limit_a_request_is_turned_away_at_once() {
    let cluster = Arc::new(FakeCluster::hanging());
    let mut setup = Setup::new(cluster.clone());
    setup.in_flight = 1;
    setup.queue = 0;
    let webhook = setup.start().await;
    let mut first = webhook.client().await;
    let first = tokio::spawn(async move { first.post("/validate", asks()).await });
    cluster.questions.acquire().await.unwrap().forget();
    assert_eq!(webhook.metrics.in_flight.get(), 1);

    let mut client = webhook.client().await;
    for _ in 0..3 {
        let turned_away = client.post("/validate", asks()).await;
        assert_eq!(turned_away.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(turned_away.headers.get(header::RETRY_AFTER).is_none());
        assert!(
            turned_away.headers.get(header::CONNECTION).is_none(),
            "a new handshake would cost more than this"
        );
    }
    cluster.leave.add_permits(100);
    assert_eq!(first.await.unwrap().response()["status"]["code"], 422);
    assert_eq!(
        client.post("/mutate", create(&resource())).await.response()["allowed"],
        true
    );
}

async fn cut_off(webhook: &Webhook, begin: &[u8]) -> String {
    let mut slow = webhook.dial().await.unwrap();
    slow.write_all(begin).await.unwrap();
    let mut heard = String::new();
    // The end may come with or without a goodbye.
    let _ = slow.read_to_string(&mut heard).await;
    heard
}

#[tokio::test]
async fn slow_clients_are_cut_off_and_others_are_not() {
    let mut setup = Setup::new(Arc::new(FakeCluster::empty()));
    setup.timeouts.header = Duration::from_millis(50);
    // Long enough for whoever is well on a machine that is not.
    setup.timeouts.handshake = Duration::from_secs(3);
    setup.request_limit = Duration::from_secs(3);
    let webhook = setup.start().await;
    let in_store = webhook.client().await;
    let mut steady = webhook.client().await;
    assert_eq!(
        steady.post("/mutate", create(&resource())).await.response()["allowed"],
        true
    );

    assert_eq!(cut_off(&webhook, b"POST /mutate HTTP/1.1\r\nHost: lo").await, "");
    let body =
        b"POST /mutate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let heard = cut_off(&webhook, body).await;
    assert!(heard.starts_with("HTTP/1.1 408 "), "{heard}");
    let mut mute = tokio::net::TcpStream::connect(webhook.address).await.unwrap();
    let mut nothing = Vec::new();
    let _ = mute.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty(), "who never shakes hands is let go");

    // Silent for longer than a head may take, and still welcome; so is one that was opened and never used.
    for mut client in [steady, in_store] {
        assert_eq!(
            client.post("/mutate", create(&resource())).await.response()["allowed"],
            true
        );
    }
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let cluster = Arc::new(FakeCluster::hanging());
    let webhook = Setup::new(cluster.clone()).start().await;
    let mut client = webhook.client().await;
    let gone = tokio::spawn(async move { client.post("/validate", asks()).await });
    cluster.questions.acquire().await.unwrap().forget();
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
async fn who_waits_for_silent_connections_to_be_cut_gets_a_turn() {
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
        let mut heard = Vec::new();
        // The end may come with or without a goodbye.
        let _ = stream.read_to_end(&mut heard).await;
        assert!(heard.is_empty(), "each is let go without a word");
    }
    while webhook.open.get() > 1 {
        tokio::task::yield_now().await;
    }
}
