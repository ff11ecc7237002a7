//! Clients that try to use up connections, concurrency slots or memory. API servers and attackers have the same address here.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;

use crate::fake::FakeCluster;
use crate::harness::{Client, Setup, Webhook};
use crate::reviews::{create, resource};

/// Timeout for one review during an attack: that of the API server.
const REVIEW: Duration = Duration::from_secs(5);

async fn review(client: &mut Client) {
    let reply = timeout(REVIEW, client.post("/validate", create(&resource()))).await;
    let response = reply.expect("a review was not answered in time").response();
    assert_eq!(response["allowed"], true, "{response}");
}

async fn silent(webhook: &Webhook, count: usize) -> Vec<TlsStream<TcpStream>> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(webhook.dial().await.unwrap());
    }
    streams
}

/// A request with a declared body of `length` bytes, of which only `sent` are sent.
async fn slow_body(webhook: &Webhook, length: usize, sent: usize) -> TlsStream<TcpStream> {
    let mut stream = webhook.dial().await.unwrap();
    let head = format!(
        "POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; sent]).await.unwrap();
    stream.flush().await.unwrap();
    stream
}

async fn is_closed(stream: &mut TlsStream<TcpStream>) -> bool {
    let mut byte = [0];
    match timeout(Duration::from_millis(20), stream.read(&mut byte)).await {
        Ok(Ok(count)) => count == 0,
        Ok(Err(_)) => true,
        Err(_) => false,
    }
}

#[tokio::test]
async fn silent_connections_at_the_limit_block_no_review() {
    let mut setup = Setup::new(Arc::new(FakeCluster::empty()));
    setup.connections = 20;
    let webhook = setup.start().await;
    let mut steady = webhook.client().await;
    review(&mut steady).await;
    let mut streams = silent(&webhook, 60).await;
    // On a connection from before the attack, and on new ones.
    review(&mut steady).await;
    for _ in 0..3 {
        review(&mut webhook.client().await).await;
    }
    let closed = join_all(streams.iter_mut().map(is_closed)).await;
    assert!(
        closed[..40].iter().all(|closed| *closed),
        "the oldest connections are not closed: {closed:?}"
    );
    assert!(
        closed[50..].iter().all(|closed| !closed),
        "the newest connections do not stay open: {closed:?}"
    );
    assert!(webhook.open.get() <= 20);
}

#[tokio::test]
async fn connections_below_the_limit_may_stay_silent() {
    let webhook = Setup::new(Arc::new(FakeCluster::empty())).start().await;
    let mut streams = silent(&webhook, 10).await;
    sleep(Duration::from_millis(200)).await;
    let closed = join_all(streams.iter_mut().map(is_closed)).await;
    assert_eq!(closed, [false; 10]);
}

#[tokio::test]
async fn slow_bodies_hold_no_concurrency_slot() {
    let mut setup = Setup::new(Arc::new(FakeCluster::empty()));
    setup.in_flight = 2;
    setup.queue = 0;
    let webhook = setup.start().await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(slow_body(&webhook, 1000, 1).await);
    }
    let mut client = webhook.client().await;
    for _ in 0..10 {
        review(&mut client).await;
    }
}

#[tokio::test]
async fn large_bodies_that_stall_are_closed_when_others_need_their_memory() {
    let mebibyte = 1 << 20;
    let mut setup = Setup::new(Arc::new(FakeCluster::empty()));
    setup.body_memory = 2 * mebibyte;
    let webhook = setup.start().await;
    let mut streams = Vec::new();
    for _ in 0..6 {
        streams.push(slow_body(&webhook, 4 * mebibyte, mebibyte / 2).await);
    }
    // An ordinary review needs none of the memory budget; a large one gets it despite the slow bodies.
    let mut client = webhook.client().await;
    review(&mut client).await;
    let mut large = resource();
    large["metadata"]["annotations"]["example.org/large"] = "x".repeat(mebibyte).into();
    let reply = timeout(REVIEW, client.post("/mutate", create(&large))).await.unwrap();
    assert_eq!(reply.response()["allowed"], true, "{}", reply.text());
    let metrics = webhook.metrics.render();
    let closed = r#"cnbi_webhook_connections_evicted_total{listener="reviews",reason="body"}"#;
    assert!(metrics.contains(closed), "{metrics}");
}
