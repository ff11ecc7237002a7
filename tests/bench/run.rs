//! A whole benchmark, from the control plane to the files in `target/bench/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cnbi_shared::config::SHIPPED;
use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::Installation;
use cnbi_tests::process;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use serde_json::{Map, Value, json};

use crate::measure::{Bench, Extent, median};
use crate::reviews::{NAMESPACE, SECRET};
use crate::servers::{Ours, Rival};
use crate::target::{Cores, Target};
use crate::{creates, reports, reviews, servers, verdicts};

/// Numbers of connections.
const CONNECTIONS: [usize; 3] = [1, 16, 64];

/// Number of starts for the cold start time.
const STARTS: usize = 5;

/// What to measure, and how long.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// The webhook program, as in the image
    #[arg(long)]
    webhook: PathBuf,
    /// The peer program
    #[arg(long)]
    peer: PathBuf,
    /// Folder for the results; may contain controller.jsonl
    #[arg(long)]
    output: PathBuf,
    /// Run for two minutes only, with less accurate results
    #[arg(long)]
    quick: bool,
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
        let installation = Installation::install(&control_plane, servers::options(folder, &webhook, cores)?).await?;
        let authority = servers::certificate(folder)?;

        say(begin, "control plane and CNBi are installed");
        // First with the configuration of the rules' examples, to check that the peer gives the same responses.
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
        say(begin, &format!("{verdicts} examples get the same response from both"));

        configure(&control_plane, installation.namespace(), reviews::POLICY).await?;
        fs::write(&policy, reviews::POLICY)?;
        fill(&client, extent.secrets).await?;
        say(begin, &format!("{} Secrets exist", extent.secrets));

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
        let creates = creates::measure(&control_plane, &client, extent.creates).await?;
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

/// Measures both cases with each number of connections.
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

/// Numbers of silent connections and of slow bodies in the flood.
const FLOOD: (usize, usize) = (2_000, 700);

/// Reviews on 16 connections at the same rate, with and without a flood of silent and slow connections.
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
    let resident_kib = process::resident(ours.pid)?;
    flood.kill().await?;
    Ok(json!({
        "at_rate": rate, "unloaded_p99_us": unloaded.p99_us, "p99_us": flooded.p99_us, "resident_kib": resident_kib,
    }))
}

fn say(begin: Instant, what: &str) {
    eprintln!("{:5.0} s  {what}", begin.elapsed().as_secs_f64());
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

/// Creates the Secret of the load among many others.
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

/// The results of the controller's scale tests, one JSON object per line.
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
