//! Sends creates at a given rate and counts the results.
//!
//! The creates are dry runs: the API server calls all webhooks, but stores nothing, so a test can be repeated.

use std::time::{Duration, Instant};

use kube::Client;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Outcome;

/// Target rate in creates per second; a slow machine reaches less.
const RATE: u32 = 60;
/// Concurrent creates.
const AT_ONCE: u32 = 12;
/// Timeout of a create; longer than the webhook timeouts of the API server.
const PATIENCE: Duration = Duration::from_secs(20);
/// Minimum rate in creates per second for a meaningful result.
const LEAST: f64 = 5.0;

/// Sends creates until [`Load::end`].
pub struct Load {
    begun: Instant,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Tally>,
}

/// The results of the creates.
#[derive(Debug, Default)]
pub struct Tally {
    pub sent: usize,
    pub answered: usize,
    /// The time since the start, and the error.
    pub failed: Vec<(Duration, String)>,
    pub took: Duration,
}

impl Load {
    /// Starts the creates in `namespace`.
    pub fn start(client: &Client, namespace: &str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for worker in 0..AT_ONCE {
            let (client, namespace, stopped) = (client.clone(), namespace.to_owned(), stopped.clone());
            tasks.spawn(async move { creates(client, namespace, worker, begun, stopped).await });
        }
        Self { begun, stop, tasks }
    }

    /// The time since the start.
    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Stops, and waits for pending creates.
    pub async fn end(mut self) -> Outcome<Tally> {
        self.stop.send_replace(true);
        let mut all = Tally::default();
        while let Some(one) = self.tasks.join_next().await {
            let one = one?;
            all.sent += one.sent;
            all.answered += one.answered;
            all.failed.extend(one.failed);
        }
        all.took = self.begun.elapsed();
        Ok(all)
    }
}

impl Tally {
    /// Prints the results; fails if the rate is too low to be meaningful.
    pub fn tell(&self, of: &str) -> Outcome {
        #[allow(clippy::cast_precision_loss)]
        let rate = self.sent as f64 / self.took.as_secs_f64();
        eprintln!(
            "{of}: {} creates sent in {:.1?}, {rate:.0} per second; {} succeeded, {} failed",
            self.sent,
            self.took,
            self.answered,
            self.failed.len()
        );
        if rate < LEAST {
            return Err(format!("{rate:.0} creates per second are too few").into());
        }
        Ok(())
    }

    /// Fails if a create failed.
    pub fn none_failed(&self, of: &str) -> Outcome {
        self.tell(of)?;
        assert_eq!(self.sent, self.answered + self.failed.len());
        assert!(
            self.failed.is_empty(),
            "{of}: {:#?}",
            &self.failed[..self.failed.len().min(5)]
        );
        Ok(())
    }
}

async fn creates(
    client: Client,
    namespace: String,
    worker: u32,
    begun: Instant,
    stopped: watch::Receiver<bool>,
) -> Tally {
    let mut tally = Tally::default();
    let mut ticks = interval(Duration::from_secs(1) * AT_ONCE / RATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while !*stopped.borrow() {
        ticks.tick().await;
        tally.sent += 1;
        let name = format!("load-{worker}-{}", tally.sent);
        let outcome = match timeout(PATIENCE, create(&client, &namespace, &name)).await {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no response within {PATIENCE:?}")),
        };
        match outcome {
            Ok(()) => tally.answered += 1,
            Err(error) => tally.failed.push((begun.elapsed(), error)),
        }
    }
    tally
}

async fn create(client: &Client, namespace: &str, name: &str) -> kube::Result<()> {
    let object = json!({
        "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
        "metadata": {"name": name, "annotations": {"opendatahub.io/notebook-image-desc": "Under load."}},
        "spec": {"buildType": "ImageImport", "fromImage": "quay.io/thoth-station/s2i-minimal-py38-notebook:v0.2.2"},
    });
    let path = format!("/apis/meteor.zone/v1alpha1/namespaces/{namespace}/customnbimages?dryRun=All");
    let request = http::Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(object.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    let created: serde_json::Value = client.request(request).await?;
    // The mutating webhook must have been called too.
    if created["spec"]["targetNamespace"].is_null() {
        return Err(kube::Error::Api(
            kube::core::Status::failure("created without defaults", "NotAsked").boxed(),
        ));
    }
    Ok(())
}
