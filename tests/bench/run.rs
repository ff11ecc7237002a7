//! One run from the control plane to the files in `target/bench/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cnbi_shared::config::SHIPPED;
use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::Installation;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Map, Value, json};

use crate::load::Outcome;
use crate::reviews::{NAMESPACE, SECRET};
use crate::rivals::{Cores, Ours, PEER_LABEL, Rival, Target};
use crate::{reports, reviews, rivals, verdicts};

/// The same load is sent over so many connections.
const CONNECTIONS: [usize; 3] = [1, 16, 64];

/// How often each program is started to see how long it takes.
const STARTS: usize = 5;

/// What to measure, and how long.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// The webhook's program, as images hold it
    #[arg(long)]
    webhook: PathBuf,
    /// The peer's program
    #[arg(long)]
    peer: PathBuf,
    /// Where the results go; controller.jsonl is taken from there, if it is there
    #[arg(long)]
    output: PathBuf,
    /// Takes two minutes, and says less
    #[arg(long)]
    quick: bool,
}

/// How much is measured.
struct Extent {
    rounds: usize,
    seconds: f64,
    warm_up: f64,
    creates: usize,
    secrets: usize,
}

impl Run {
    fn extent(&self) -> Extent {
        if self.quick {
            Extent {
                rounds: 1,
                seconds: 0.6,
                warm_up: 0.2,
                creates: 300,
                secrets: 1_000,
            }
        } else {
            Extent {
                rounds: 3,
                seconds: 2.0,
                warm_up: 0.5,
                creates: 3_000,
                secrets: 10_000,
            }
        }
    }

    /// Measures everything.
    pub async fn run(self) -> Result<()> {
        let begin = Instant::now();
        fs::create_dir_all(&self.output)?;
        let folder = tempfile::tempdir()?;
        let folder = folder.path();
        let (extent, cores) = (self.extent(), Cores::of_this_machine());
        let webhook = self.webhook.canonicalize().context("finding the webhook")?;
        let control_plane = ControlPlane::start().await?;
        let client = control_plane.client().await?;
        let installation = Installation::install(&control_plane, rivals::options(folder, &webhook, cores)?).await?;
        let authority = rivals::certificate(folder)?;

        say(begin, "a control plane with CNBi on it");
        // First under the policy that the rules' examples are written for, to see that the peer does the same.
        let policy = folder.join("policy.yaml");
        fs::write(&policy, SHIPPED)?;
        for name in [NAMESPACE, "ours", "opendatahub", "team-a"] {
            installation.create_namespace(name).await?;
        }
        let mut ours = Ours::new(&installation, folder);
        let peer_program = self.peer.canonicalize().context("finding the peer")?;
        let mut peer = Rival::peer(&control_plane, &installation, &peer_program, folder, &policy, cores).await?;
        ours.start().await?;
        peer.start().await?;
        let verdicts = verdicts::compare(&control_plane, &ours.target(&client).await?, &peer.target()?, folder).await?;
        say(begin, &format!("{verdicts} examples are answered the same by both"));

        configure(&control_plane, installation.namespace(), reviews::POLICY).await?;
        fs::write(&policy, reviews::POLICY)?;
        fill(&client, extent.secrets).await?;
        say(begin, &format!("{} Secrets are there", extent.secrets));

        let mut starts: [Vec<f64>; 2] = Default::default();
        for _ in 0..STARTS {
            starts[0].push(ours.start().await?.as_secs_f64() * 1e3);
            starts[1].push(peer.start().await?.as_secs_f64() * 1e3);
        }
        let cold_start = json!({"ours": median(&mut starts[0]), "peer": median(&mut starts[1])});
        say(begin, &format!("cold start in ms: {cold_start}"));

        let mut parse_floor = Rival::floor(&control_plane, folder, true, cores)?;
        let mut noop_floor = Rival::floor(&control_plane, folder, false, cores)?;
        parse_floor.start().await?;
        noop_floor.start().await?;
        let targets = [
            ("ours", ours.target(&client).await?),
            ("peer", peer.target()?),
            ("parse_floor", parse_floor.target()?),
            ("noop_floor", noop_floor.target()?),
        ];
        let webhook = under_load(&targets, folder, &extent, cores, begin).await?;
        let memory = json!({
            "ours": ours.resident()?, "peer": peer.resident()?,
            "parse_floor": parse_floor.resident()?, "noop_floor": noop_floor.resident()?,
        });

        let flood = flooded(&targets, folder, &extent, cores, &webhook).await?;
        say(begin, "reviews during a flood of connections");

        let registration = peer.registration(&authority).to_string();
        let kubectl = control_plane.kubectl().args(["apply", "-f", "-"]);
        kubectl.stdin(registration).ok().await?;
        let creates = creates(&control_plane, &client, extent.creates).await?;
        say(begin, "creates");

        let results = json!({
            "machine": machine(cores, self.quick),
            "verdicts_compared": verdicts,
            "webhook": webhook,
            "memory_mib": memory,
            "flood": flood,
            "cold_start_ms": cold_start,
            "create_us": creates,
            "controller": controller(&self.output)?,
        });
        reports::write(&results, &self.output)?;
        say(begin, &format!("written to {}", self.output.display()));
        Ok(())
    }
}

/// Both cases, over as many connections as there are to be.
async fn under_load(
    targets: &[(&'static str, Target); 4],
    folder: &Path,
    extent: &Extent,
    cores: Cores,
    begin: Instant,
) -> Result<Map<String, Value>> {
    let mut webhook = Map::new();
    for (case, spec) in [("no_fact", reviews::package_list()), ("secret", reviews::import())] {
        let object = reviews::stored(reviews::resource(NAMESPACE, "measured", &spec));
        let body = folder.join(format!("{case}.json"));
        fs::write(&body, reviews::review(&object, None).to_string())?;
        let bench = Bench {
            targets,
            body: &body,
            extent,
            cores,
        };
        let mut measured = Map::new();
        for connections in CONNECTIONS {
            for (name, outcome) in bench.measure(connections).await? {
                let of_target = measured.entry(name).or_insert_with(|| json!({}));
                of_target[format!("c{connections}")] = outcome;
            }
            say(begin, &format!("{case}, {connections} connections"));
        }
        webhook.insert(case.to_owned(), measured.into());
    }
    Ok(webhook)
}

/// Silent connections and slow bodies of the flood.
const FLOOD: (usize, usize) = (2_000, 700);

/// Our reviews on 16 connections at the same rate, without and with a flood of connections that send nothing or slowly.
async fn flooded(
    targets: &[(&'static str, Target); 4],
    folder: &Path,
    extent: &Extent,
    cores: Cores,
    webhook: &Map<String, Value>,
) -> Result<Value> {
    let body = folder.join("no_fact.json");
    let bench = Bench {
        targets,
        body: &body,
        extent,
        cores,
    };
    let ours = &targets[0].1;
    let rate = webhook["no_fact"]["ours"]["c16"]["at_rate"].as_f64();
    let unloaded = bench.load(ours, 16, rate).await?;
    let program = std::env::current_exe()?;
    let mut flood = tokio::process::Command::new(&program)
        .args(["pinned", &cores.client.to_string()])
        .arg(&program)
        .args([
            "flood",
            &format!("--address={}", ours.address),
            &format!("--name={}", ours.name),
            &format!("--authority={}", ours.authority.display()),
            &format!("--silent={}", FLOOD.0),
            &format!("--slow={}", FLOOD.1),
        ])
        .kill_on_drop(true)
        .spawn()?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let flooded = bench.load(ours, 16, rate).await?;
    ensure!(flood.try_wait()?.is_none(), "the flood ended");
    let resident_kib = ours.resident()?;
    flood.kill().await?;
    Ok(json!({
        "at_rate": rate, "unloaded_p99_us": unloaded.p99_us, "p99_us": flooded.p99_us, "resident_kib": resident_kib,
    }))
}

fn say(begin: Instant, what: &str) {
    eprintln!("{:5.0} s  {what}", begin.elapsed().as_secs_f64());
}

/// One case under load.
struct Bench<'a> {
    targets: &'a [(&'static str, Target); 4],
    body: &'a Path,
    extent: &'a Extent,
    cores: Cores,
}

impl Bench<'_> {
    /// First how many are answered at most, everybody in turn; then how long answers take at half of what the peer can do,
    /// the same for all.
    async fn measure(&self, connections: usize) -> Result<Vec<(&'static str, Value)>> {
        let closed = self.rounds(connections, None).await?;
        let of_peer = self.targets.iter().position(|(name, _)| *name == "peer");
        let rate = closed[of_peer.context("there is no peer")?].rps / 2.0;
        ensure!(rate > 0.0, "the peer has answered nothing in time");
        let open = self.rounds(connections, Some(rate)).await?;
        let outcomes = self.targets.iter().zip(closed.iter().zip(&open));
        Ok(outcomes
            .map(|((name, _), (closed, open))| {
                let outcome = json!({
                    "rps": closed.rps.round(),
                    "p50_us": open.p50_us.round(),
                    "p99_us": open.p99_us.round(),
                    "at_rate": rate.round(),
                    "cpu_us": (closed.cpu_us * 10.0).round() / 10.0,
                    "closed_p50_us": closed.p50_us.round(),
                    "closed_p99_us": closed.p99_us.round(),
                });
                (*name, outcome)
            })
            .collect())
    }

    async fn rounds(&self, connections: usize, rate: Option<f64>) -> Result<Vec<Outcome>> {
        let mut all: Vec<Vec<Outcome>> = vec![Vec::new(); self.targets.len()];
        for _ in 0..self.extent.rounds {
            for ((_, target), outcomes) in self.targets.iter().zip(&mut all) {
                outcomes.push(self.load(target, connections, rate).await?);
            }
        }
        let of = |outcomes: &[Outcome], value: fn(&Outcome) -> f64| {
            let mut values: Vec<f64> = outcomes.iter().map(value).collect();
            median(&mut values)
        };
        Ok(all
            .iter()
            .map(|outcomes| Outcome {
                answered: outcomes.iter().map(|outcome| outcome.answered).sum(),
                failed: 0,
                asked: outcomes.iter().map(|outcome| outcome.asked).sum(),
                rps: of(outcomes, |outcome| outcome.rps),
                p50_us: of(outcomes, |outcome| outcome.p50_us),
                p99_us: of(outcomes, |outcome| outcome.p99_us),
                cpu_us: of(outcomes, |outcome| outcome.cpu_us),
            })
            .collect())
    }

    async fn load(&self, target: &Target, connections: usize, rate: Option<f64>) -> Result<Outcome> {
        let bench = std::env::current_exe()?;
        let mut command = tokio::process::Command::new(&bench);
        command
            .args(["pinned", &self.cores.client.to_string()])
            .arg(&bench)
            .args([
                "load",
                "--path=/validate",
                &format!("--address={}", target.address),
                &format!("--name={}", target.name),
                &format!("--authority={}", target.authority.display()),
                &format!("--body={}", self.body.display()),
                &format!("--connections={connections}"),
                &format!("--seconds={}", self.extent.seconds),
                &format!("--warm-up={}", self.extent.warm_up),
            ]);
        if let Some(rate) = rate {
            command.arg(format!("--rate={rate}"));
        }
        let before = target.used()?;
        let output = command.kill_on_drop(true).output().await?;
        let used = target.used()? - before;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "the load generator failed on {}: {said}",
            target.name
        );
        let mut outcome: Outcome = serde_json::from_slice(&output.stdout)?;
        ensure!(
            outcome.failed == 0,
            "{} reviews were not allowed by {}: {said}",
            outcome.failed,
            target.name
        );
        #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
        let all = outcome.asked.max(1) as f64;
        outcome.cpu_us = used / all;
        Ok(outcome)
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

async fn configure(control_plane: &ControlPlane, namespace: &str, yaml: &str) -> Result<()> {
    let patch = json!({"data": {"config.yaml": yaml}}).to_string();
    let kubectl = control_plane.kubectl();
    let args = [
        "-n",
        namespace,
        "patch",
        "configmap",
        "cnbi-config",
        "--type=merge",
        "-p",
        &patch,
    ];
    kubectl.args(args).ok().await.map(drop)
}

/// The Secret of the load, among many.
async fn fill(client: &kube::Client, count: usize) -> Result<()> {
    let api: kube::Api<Secret> = kube::Api::namespaced(client.clone(), NAMESPACE);
    let names = (1..count)
        .map(|index| format!("secret-{index}"))
        .chain([SECRET.to_owned()]);
    futures::stream::iter(names)
        .map(|name| {
            let api = &api;
            async move {
                let secret: Secret = serde_json::from_value(reviews::pull_secret(NAMESPACE, &name))?;
                api.create(&PostParams::default(), &secret).await?;
                anyhow::Ok(())
            }
        })
        .buffer_unordered(16)
        .try_collect()
        .await
}

/// What a create costs whoever runs kubectl: in a namespace without webhooks, in ours and in the peer's, in turn.
async fn creates(control_plane: &ControlPlane, client: &kube::Client, count: usize) -> Result<Value> {
    for (name, labels) in [("none", json!({})), ("peer", json!({PEER_LABEL.0: PEER_LABEL.1}))] {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        let kubectl = control_plane.kubectl().args(["create", "-f", "-"]);
        kubectl.stdin(namespace.to_string()).ok().await?;
    }
    let kind = GroupVersionKind::gvk("meteor.zone", "v1alpha1", "CustomNBImage");
    let kind = ApiResource::from_gvk_with_plural(&kind, "customnbimages");
    let mut places = Vec::new();
    for name in ["none", "ours", "peer"] {
        let api: kube::Api<DynamicObject> = kube::Api::namespaced_with(client.clone(), name, &kind);
        places.push((name, api, Vec::with_capacity(count)));
    }
    let mut spec = reviews::package_list();
    if let Some(spec) = spec.as_object_mut() {
        // Both webhooks have something to fill in.
        spec.remove("targetNamespace");
    }
    // The API server learns of a registration by a watch.
    let peer = reviews::resource("peer", "asked", &spec);
    let peer: DynamicObject = serde_json::from_value(peer)?;
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    for attempt in 0.. {
        let asked = places[2].1.create(&dry_run, &peer).await?;
        if asked.data["spec"]["targetNamespace"] == "peer" {
            break;
        }
        ensure!(attempt < 300, "the peer is never asked");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let warm_up = 50;
    for index in 0..count + warm_up {
        for (name, api, latencies) in &mut places {
            let mut object = reviews::resource(name, &format!("created-{index}"), &spec);
            if *name == "none" {
                object["spec"]["targetNamespace"] = (*name).into();
            }
            let object: DynamicObject = serde_json::from_value(object)?;
            let begin = Instant::now();
            let created = api.create(&PostParams::default(), &object).await?;
            if index >= warm_up {
                latencies.push(begin.elapsed());
            }
            ensure!(
                created.data["spec"]["targetNamespace"] == *name,
                "the webhook of {name} was not asked: {}",
                created.data
            );
        }
    }
    let mut results = Map::new();
    for (name, _, mut latencies) in places {
        latencies.sort_unstable();
        let at = |percent: usize| {
            let latency = latencies.get(latencies.len() * percent / 100);
            latency.map_or(0.0, Duration::as_secs_f64) * 1e6
        };
        results.insert(
            name.to_owned(),
            json!({"p50": at(50).round(), "p99": at(99).round(), "count": latencies.len()}),
        );
    }
    Ok(results.into())
}

/// What the controller's tests have measured before, one JSON object a line.
fn controller(output: &Path) -> Result<Vec<Value>> {
    let Ok(text) = fs::read_to_string(output.join("controller.jsonl")) else {
        return Ok(Vec::new());
    };
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn machine(cores: Cores, quick: bool) -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or("", |(_, value)| value.trim()).to_owned()
    };
    json!({
        "cpu": field(&read("/proc/cpuinfo"), "model name"),
        "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "memory": field(&read("/proc/meminfo"), "MemTotal"),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load_average_at_end": read("/proc/loadavg").split(' ').next().unwrap_or_default(),
        "server_core": cores.server,
        "client_core": cores.client,
        "quick": quick,
    })
}
