//! What bounds the webhook's appetite is in force in the program as it is started, not only in its parts.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use cnbi_tests::installation::{Options, ProxyAction, shipped};
use futures::future::{join_all, try_join_all};
use serde_json::json;

use crate::cluster::{ADMIN, cluster, resource, until};
use crate::test_installation::Site;

/// How late a question is answered.
const LATE: Duration = Duration::from_millis(100);

fn with_flag(name: &str, flag: &str, value: &str) -> Options {
    let mut options = shipped::default(Some(name));
    let flags = [(flag.to_owned(), value.to_owned())];
    options.flags.insert(shipped::WEBHOOK.to_owned(), flags.into());
    options
}

#[tokio::test]
async fn no_more_questions_are_asked_at_once_than_may_be() -> Result<()> {
    let options = with_flag("one-question", "--facts-in-flight", "1");
    Site::run_with(cluster().await?, options, async |site| {
        let fault_proxy = site.restart_behind().await?;
        let team = site.namespace();
        let asked: Arc<Mutex<Vec<Instant>>> = Arc::default();
        fault_proxy.set({
            let asked = Arc::clone(&asked);
            move |path| {
                // The Secret of the webhook's own authority is no question of a review.
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
        for told in try_join_all((0..3).map(|_| site.dry_run(ADMIN, &object))).await? {
            assert!(told.code == 422 && told.message().contains("[CNB110]"), "{}", told.body);
        }
        let asked = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(asked.len() >= 3, "each review asks: {asked:?}");
        for pair in asked.windows(2) {
            let fault_proxy = pair[1] - pair[0];
            assert!(
                fault_proxy >= LATE,
                "the next one is asked after {fault_proxy:?}, before the last was answered"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn memory_is_given_back_when_a_burst_of_reviews_is_over() -> Result<()> {
    let options = with_flag("burst", "--log", "info,cnbi_webhook::heap_trim=debug");
    Site::run_with(cluster().await?, options, async |site| {
        let given_back = "trimmed the heap";
        let log = |site: &Site<'_>| fs::read_to_string(site.webhook.log()).context("the webhook's log");
        assert!(!log(site)?.contains(given_back), "nothing is worth it yet");
        let mut object = resource(&site.namespace(), "large", json!({}));
        object["metadata"]["annotations"]["example.org/large"] = "x".repeat(200_000).into();
        for told in join_all((0..8).map(|_| site.dry_run(ADMIN, &object))).await {
            let told = told?;
            assert!(told.is_success(), "{}", told.body);
        }
        until("the burst is over", async || Ok(log(site)?.contains(given_back))).await
    })
    .await
}
