//! Two replicas are killed, frozen or lose the API server under load: each response is correct, or reports clearly that the
//! resource was not checked.
//!
//! Each test has its own control plane, because the faults would disturb other tests.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::{Replica, Service, shipped};
use cnbi_tests::process::Fault;
use cnbi_tests::random::{Random, number};
use futures::future::{join_all, try_join};
use http::Method;
use serde_json::{Value, json};

use crate::api_response::{ApiResponse, send_request};
use crate::cluster::{ADMIN, WITHIN, collection, prepare_users, resource, until};
use crate::test_installation::TestInstallation;

/// Concurrent clients.
const CLIENTS: u64 = 4;

/// Number of kills without `CNBI_KILLS`, which `make soak` sets.
const KILLS: u64 = 20;

/// Number of kills between two restarts of the API server.
const API_SERVER_RESTARTS: u64 = 10;

/// Concurrent requests while a replica is frozen: more than the API server has open connections.
const BURST: usize = 16;

/// `timeoutSeconds` of both webhooks, and time for the API server.
const IN_TIME: Duration = Duration::from_secs(12);

/// Results of the requests.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    sent: usize,
    /// Correct responses: valid resources are stored with defaults, others are rejected by the expected rule.
    right: usize,
    /// Failed with an error that says that the resource was not checked.
    refused: usize,
    /// Failed because the API server was down.
    away: usize,
    /// Other responses.
    wrong: usize,
    /// No response in time, or a resource that was created is missing.
    lost: usize,
}

impl Tally {
    fn add(mut self, other: Self) -> Self {
        self.sent += other.sent;
        self.right += other.right;
        self.refused += other.refused;
        self.away += other.away;
        self.wrong += other.wrong;
        self.lost += other.lost;
        self
    }

    fn tell(&self, of: &str) -> Result<()> {
        let Self {
            sent,
            right,
            refused,
            away,
            wrong,
            lost,
        } = self;
        eprintln!(
            "{of}: {sent} requests: {right} correct responses, {refused} not checked, {away} without API server, {wrong} wrong, \
             {lost} lost"
        );
        ensure!(
            *wrong == 0 && *lost == 0 && *sent == right + refused + away,
            "{of}: {self:?}"
        );
        ensure!(*right > 50, "{of}: too few correct responses: {self:?}");
        Ok(())
    }
}

/// State of the test: whether it is over, and whether the API server is down.
#[derive(Debug, Default)]
struct Weather {
    over: AtomicBool,
    /// Counts begins and ends of outages, so it is odd during an outage.
    outages: AtomicU64,
}

impl Weather {
    /// Records that an outage begins or ends.
    fn changes(&self) {
        self.outages.fetch_add(1, Ordering::Relaxed);
    }

    fn outages(&self) -> u64 {
        self.outages.load(Ordering::Relaxed)
    }
}

/// Creates valid and invalid resources until the test is over, then checks the stored ones.
async fn work(cluster: &ControlPlane, namespace: &str, client: u64, weather: &Weather) -> Result<Tally> {
    let mut kube = cluster.client().await?;
    let (mut tally, mut stored) = (Tally::default(), Vec::new());
    let name_of = |number: u64| format!("endured-{client}-{number}");
    for number in 0.. {
        if weather.over.load(Ordering::Relaxed) {
            break;
        }
        let is_good = number % 2 == 0;
        let spec = if is_good {
            json!({})
        } else {
            json!({"targetNamespace": "Bad"})
        };
        let object = resource(namespace, &name_of(number), spec);
        tally.sent += 1;
        let before = weather.outages();
        let begin = Instant::now();
        let asked = send_request(&kube, Some(ADMIN), Method::POST, &collection(&object, ""), &object).await;
        let took = begin.elapsed();
        // A request from before an outage may get its response after the outage.
        let is_outage = before % 2 == 1 || weather.outages() != before;
        match asked {
            _ if took > IN_TIME && !is_outage => {
                eprintln!("lost: {took:?}");
                tally.lost += 1;
            }
            Ok(response) if is_good && response.is_success() && is_filled_in(&response.body) => {
                tally.right += 1;
                stored.push(name_of(number));
                continue;
            }
            Ok(response) if !is_good && response.lines().iter().any(|(_, rule, _)| rule == "CNB020") => {
                tally.right += 1;
                continue;
            }
            Ok(response) if is_clear(&response) => tally.refused += 1,
            // A starting API server does not know its roles yet.
            Ok(response) if is_outage && !response.is_success() && response.lines().is_empty() => tally.away += 1,
            Err(_) if is_outage => {
                tally.away += 1;
                kube = cluster.client().await?;
            }
            Ok(response) => {
                eprintln!("wrong: {response:?}");
                tally.wrong += 1;
            }
            Err(error) => {
                eprintln!("lost: {error:#}");
                tally.lost += 1;
            }
        }
        // Wait before the next request after a failure.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let path = collection(&resource(namespace, "any", json!({})), "");
    let list = send_request(&kube, Some(ADMIN), Method::GET, &path, &Value::Null).await?;
    let prefix = format!("endured-{client}-");
    let items = list.body["items"].as_array().into_iter().flatten();
    let own: Vec<_> = items
        .filter(|item| {
            let name = item["metadata"]["name"].as_str();
            name.is_some_and(|name| name.starts_with(&prefix))
        })
        .collect();
    tally.wrong += own.iter().filter(|item| !is_filled_in(item)).count();
    let is_there = |name: &String| own.iter().any(|item| item["metadata"]["name"] == **name);
    tally.lost += stored.iter().filter(|name| !is_there(name)).count();
    Ok(tally)
}

/// Whether the resource has the defaults that `/mutate` sets and a target namespace that `/validate` accepts.
fn is_filled_in(object: &Value) -> bool {
    object["spec"]["targetNamespace"] == "opendatahub"
        && object["metadata"]["annotations"]["opendatahub.io/notebook-image-creator"] == ADMIN
}

/// Whether the response reports that the API server could not call the webhook, or that the webhook could not check a rule.
fn is_clear(response: &ApiResponse) -> bool {
    let could_not_ask = response.code == 500 && response.message().contains("failed calling webhook");
    could_not_ask || (response.code == 503 && response.message().contains("could not be checked"))
}

/// Two replicas and their Service, which replace the initial replica of the installation.
struct Pair {
    service: Service,
    replicas: Vec<Replica>,
}

impl Pair {
    async fn start(setup: &mut TestInstallation<'_>) -> Result<Self> {
        setup.stop_webhook().await?;
        let mut pair = Self {
            service: setup.installation.service(shipped::WEBHOOK, "https").await?,
            replicas: Vec::new(),
        };
        pair.add(setup).await?;
        pair.add(setup).await?;
        setup.until_asked(&setup.namespace()).await?;
        Ok(pair)
    }

    async fn add(&mut self, setup: &TestInstallation<'_>) -> Result<()> {
        let mut new = setup.installation.start_beside(shipped::WEBHOOK).await?;
        new.ready(WITHIN).await?;
        self.service.add(&new)?;
        self.replicas.push(new);
        Ok(())
    }

    /// Kills a random replica. The Service keeps routing to it for a short time.
    async fn kill(&mut self, random: &mut Random) -> Result<()> {
        let mut dead = self.replicas.remove(random.index(self.replicas.len()));
        dead.send(Fault::Kill)?;
        dead.wait(WITHIN).await?;
        tokio::time::sleep(Duration::from_millis(random.below(150))).await;
        self.service.remove(&dead);
        Ok(())
    }

    /// Hands one running replica back to the installation.
    fn leave(mut self, setup: &mut TestInstallation<'_>) {
        if let Some(one) = self.replicas.pop() {
            setup.webhook = one;
        }
    }
}

/// Runs the clients until `happens` completes.
async fn under_load(
    cluster: &ControlPlane,
    namespace: &str,
    weather: &Weather,
    happens: impl Future<Output = Result<()>>,
) -> Result<Tally> {
    let working = join_all((0..CLIENTS).map(|client| work(cluster, namespace, client, weather)));
    let happening = async {
        let outcome = happens.await;
        weather.over.store(true, Ordering::Relaxed);
        outcome
    };
    let all = async { working.await.into_iter().collect::<Result<Vec<_>>>() };
    let (tallies, ()) = try_join(all, happening).await?;
    Ok(tallies.into_iter().fold(Tally::default(), Tally::add))
}

#[tokio::test]
async fn replicas_that_are_killed_give_no_wrong_response() -> Result<()> {
    let mut random = Random::new();
    let kills = number("CNBI_KILLS").unwrap_or(KILLS);
    let cluster = ControlPlane::start().await?;
    prepare_users(&cluster).await?;
    TestInstallation::run_on(&cluster, "endured", async |setup| {
        // A starting API server returns 403 until it has loaded its roles.
        setup.refused.push("/");
        let mut pair = Pair::start(setup).await?;
        let (namespace, weather) = (setup.namespace(), Weather::default());
        let killing = async {
            for kill in 1..=kills {
                tokio::time::sleep(Duration::from_millis(random.below(200))).await;
                pair.kill(&mut random).await?;
                if kill % API_SERVER_RESTARTS == 0 {
                    weather.changes();
                    cluster.stop_api_server().await?;
                    cluster.start_api_server().await?;
                    // Wait until it has loaded the webhook configurations and RBAC.
                    setup.client = cluster.client().await?;
                    setup.until_asked(&namespace).await?;
                    weather.changes();
                }
                // In one of four rounds, kill both replicas.
                if random.below(4) == 0 {
                    pair.kill(&mut random).await?;
                    pair.add(setup).await?;
                }
                pair.add(setup).await?;
            }
            setup.until_asked(&namespace).await
        };
        let tally = under_load(&cluster, &namespace, &weather, killing).await?;
        tally.tell(&format!("{kills} kills"))?;
        ensure!(tally.refused > 0, "no request was affected by a kill: {tally:?}");
        pair.leave(setup);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_frozen_replica_delays_few_requests_briefly() -> Result<()> {
    let cluster = ControlPlane::start().await?;
    prepare_users(&cluster).await?;
    TestInstallation::run_on(&cluster, "frozen", async |setup| {
        let mut pair = Pair::start(setup).await?;
        let (namespace, weather) = (setup.namespace(), Weather::default());
        let freezing = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            pair.replicas[0].send(Fault::Stop)?;
            // The burst opens new connections. The Service routes some of them to the frozen replica until its readiness probe
            // fails.
            let object = resource(&namespace, "in-time", json!({}));
            let burst = join_all((0..BURST).map(|_| setup.dry_run(ADMIN, &object))).await;
            let burst = burst.into_iter().collect::<Result<Vec<_>>>()?;
            let refused = burst.iter().filter(|response| !response.is_success()).count();
            ensure!(
                burst.iter().all(|response| response.is_success() || is_clear(response)),
                "{burst:?}"
            );
            ensure!(
                refused > 0 && refused < burst.len(),
                "{refused} of {BURST} requests reached the frozen replica"
            );
            pair.service.remove(&pair.replicas[0]);
            // Open connections to the frozen replica last until a call on each has timed out.
            let mut in_a_row = 0;
            until("the other replica handles all calls", async || {
                let response = setup
                    .dry_run(ADMIN, &resource(&namespace, "in-time", json!({})))
                    .await?;
                ensure!(response.is_success() || is_clear(&response), "{}", response.body);
                in_a_row = if response.is_success() { in_a_row + 1 } else { 0 };
                Ok(in_a_row == 50)
            })
            .await?;
            // The replica continues, with requests pending in its sockets.
            pair.replicas[0].send(Fault::Continue)?;
            pair.replicas[0].ready(WITHIN).await?;
            pair.service.add(&pair.replicas[0])?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        };
        let tally = under_load(&cluster, &namespace, &weather, freezing).await?;
        tally.tell("one of two frozen")?;
        pair.leave(setup);
        Ok(())
    })
    .await
}
