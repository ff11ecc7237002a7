//! Limits of the running webhook: concurrent API requests, and memory after a burst.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use cnbi_tests::installation::{Options, ProxyAction, shipped};
use futures::future::{join_all, try_join_all};
use serde_json::json;

use crate::cluster::{ADMIN, cluster, resource, until};
use crate::test_installation::TestInstallation;

/// Delay of each response.
const LATE: Duration = Duration::from_millis(100);

fn with_flag(name: &str, flag: &str, value: &str) -> Options {
    let mut options = shipped::default(Some(name));
    let flags = [(flag.to_owned(), value.to_owned())];
    options.flags.insert(shipped::WEBHOOK.to_owned(), flags.into());
    options
}

#[tokio::test]
async fn concurrent_api_requests_are_limited() -> Result<()> {
    let options = with_flag("one-question", "--facts-in-flight", "1");
    TestInstallation::run_with(cluster().await?, options, async |setup| {
        let fault_proxy = setup.restart_behind().await?;
        let team = setup.namespace();
        let asked: Arc<Mutex<Vec<Instant>>> = Arc::default();
        fault_proxy.set({
            let asked = Arc::clone(&asked);
            move |path| {
                // Other reads, such as the Secret of the CA, do not belong to reviews.
                if !path.ends_with("/secrets/missing") {
                    return ProxyAction::Pass;
                }
                asked
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Instant::now());
                ProxyAction::Late(LATE)
            }
        });
        let object = resource(&team, "asks", json!({"imagePullSecret": {"name": "missing"}}));
        for response in try_join_all((0..3).map(|_| setup.dry_run(ADMIN, &object))).await? {
            assert!(
                response.code == 422 && response.message().contains("[CNB110]"),
                "{}",
                response.body
            );
        }
        let asked = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(asked.len() >= 3, "each review reads the Secret: {asked:?}");
        for pair in asked.windows(2) {
            let fault_proxy = pair[1] - pair[0];
            assert!(
                fault_proxy >= LATE,
                "a request was sent {fault_proxy:?} after the previous one, before its response"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn memory_is_released_after_a_burst_of_reviews() -> Result<()> {
    let options = with_flag("burst", "--log", "info,cnbi_webhook::heap_trim=debug");
    TestInstallation::run_with(cluster().await?, options, async |setup| {
        let given_back = "trimmed the heap";
        let log = |setup: &TestInstallation<'_>| fs::read_to_string(setup.webhook.log()).context("the webhook's log");
        assert!(!log(setup)?.contains(given_back), "trimmed before the burst");
        let mut object = resource(&setup.namespace(), "large", json!({}));
        object["metadata"]["annotations"]["example.org/large"] = "x".repeat(200_000).into();
        for response in join_all((0..8).map(|_| setup.dry_run(ADMIN, &object))).await {
            let response = response?;
            assert!(response.is_success(), "{}", response.body);
        }
        until("the heap is trimmed", async || Ok(log(setup)?.contains(given_back))).await
    })
    .await
}
