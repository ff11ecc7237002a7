//! Replicas behind a simulated Service, with an adjustable clock.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cnbi_certs::bundle::Bundle;
use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::{Installation, Replica, Service, shipped};
use cnbi_tests::process::Fault;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, MutexGuard};

use super::Outcome;
use super::load::Load;
use crate::cluster::cluster;

pub const CA_SECRET: &str = "cnbi-webhook-ca";
/// Timeout of each wait.
pub const WITHIN: Duration = Duration::from_secs(60);

/// Delay until kube-proxy stops routing to a terminating pod.
const PROXY_IS_LATE: Duration = Duration::from_millis(1_500);

/// Runs one fleet at a time, so that their loads do not add up.
static TURN: Mutex<()> = Mutex::const_new(());

/// Replicas and their Service.
pub struct Fleet {
    pub installation: Installation<'static>,
    pub client: Client,
    pub replicas: Vec<Replica>,
    service: Service,
    clock: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Fleet {
    /// Installs CNBi without replicas. The clock is right.
    pub async fn install(name: &'static str, flags: &[(&str, &str)]) -> Outcome<Self> {
        let turn = TURN.lock().await;
        let cluster = cluster().await?;
        let clock = cluster.data().join(format!("{name}.clock"));
        let mut options = shipped::default(Some(name));
        let mut all = vec![("--clock-ahead".to_owned(), clock.display().to_string())];
        all.extend(
            flags
                .iter()
                .map(|(flag, value)| ((*flag).to_owned(), (*value).to_owned())),
        );
        options.flags.insert(shipped::WEBHOOK.to_owned(), all);
        let installation = Installation::install(cluster, options).await?;
        installation.create_namespace(&format!("{name}-load")).await?;
        Ok(Self {
            service: installation.service(shipped::WEBHOOK, "https").await?,
            client: cluster.client().await?,
            installation,
            replicas: Vec::new(),
            clock,
            _turn: turn,
        })
    }

    /// Starts `count` replicas, waits until they are ready, and adds them to the Service.
    pub async fn add(&mut self, count: usize) -> Outcome {
        let mut new = Vec::new();
        for _ in 0..count {
            new.push(self.installation.start_beside(shipped::WEBHOOK).await?);
        }
        for mut replica in new {
            replica.ready(WITHIN).await?;
            self.service.add(&replica)?;
            self.replicas.push(replica);
        }
        Ok(())
    }

    /// Terminates the oldest replica like Kubernetes: SIGTERM first, and some time later the Service drops it.
    pub async fn end_oldest(&mut self) -> Outcome {
        let mut oldest = self.replicas.remove(0);
        oldest.send(Fault::Terminate)?;
        tokio::time::sleep(PROXY_IS_LATE).await;
        self.service.remove(&oldest);
        let ended = oldest.wait(WITHIN).await?;
        assert!(ended.success(), "{ended}");
        Ok(())
    }

    /// Starts the load once creates succeed.
    pub async fn load(&self) -> Outcome<Load> {
        let namespace = format!("{}-load", self.installation.namespace());
        // The API server learns of webhook configurations from a watch.
        let begin = Instant::now();
        loop {
            let trial = Load::start(&self.client, &namespace);
            tokio::time::sleep(Duration::from_millis(300)).await;
            let tally = trial.end().await?;
            if tally.failed.is_empty() {
                return Ok(Load::start(&self.client, &namespace));
            }
            if begin.elapsed() > WITHIN {
                return Err(format!("creates still fail: {:?}", tally.failed[0]).into());
            }
        }
    }

    /// Sets the clock of all replicas ahead by these minutes.
    pub fn ahead(&self, minutes: u32) -> Outcome {
        self.set_clock(minutes.into())
    }

    /// Like [`Fleet::ahead`]; negative minutes set the clock back.
    pub fn set_clock(&self, minutes: i64) -> Outcome {
        let new = self.clock.with_extension("new");
        fs::write(&new, (minutes * 60).to_string())?;
        Ok(fs::rename(new, &self.clock)?)
    }

    /// Moves the clock through this range of minutes ahead, two minutes per second, until the condition holds.
    pub async fn run_until(
        &self,
        minutes: std::ops::RangeInclusive<u32>,
        what: &str,
        mut holds: impl AsyncFnMut() -> Outcome<bool>,
    ) -> Outcome<u32> {
        let (mut now, last) = minutes.into_inner();
        self.ahead(now)?;
        let begin = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_millis(250));
        for tick in 1_u32.. {
            ticks.tick().await;
            if holds().await? {
                break;
            }
            if begin.elapsed() > WITHIN {
                return Err(format!("timed out waiting until {what}, with the clock {now} minutes ahead").into());
            }
            if tick.is_multiple_of(4) && now + 2 <= last {
                now += 2;
                self.ahead(now)?;
            }
        }
        Ok(now)
    }

    /// The distinct `caBundle` values of both configurations.
    pub async fn bundles(&self) -> Outcome<BTreeSet<Vec<u8>>> {
        let name = self.installation.name_of("cnbi-webhook");
        let mutating = Api::<MutatingWebhookConfiguration>::all(self.client.clone());
        let validating = Api::<ValidatingWebhookConfiguration>::all(self.client.clone());
        let mutating = mutating.get(&name).await?.webhooks.unwrap_or_default();
        let validating = validating.get(&name).await?.webhooks.unwrap_or_default();
        let clients = mutating.into_iter().map(|it| it.client_config);
        let clients = clients.chain(validating.into_iter().map(|it| it.client_config));
        Ok(clients.map(|client| client.ca_bundle.unwrap_or_default().0).collect())
    }

    /// Whether all bundles are equal and contain `count` CAs.
    pub async fn trusts(&self, count: usize) -> Outcome<bool> {
        let bundles = self.bundles().await?;
        let [bundle] = &bundles.into_iter().collect::<Vec<_>>()[..] else {
            return Ok(false);
        };
        Ok(Bundle::parse(bundle).certificates().len() == count)
    }

    /// Writes `bundle` into every entry of both configurations, like an external certificate manager.
    pub async fn set_bundle(&self, bundle: &str) -> Outcome {
        let name = self.installation.name_of("cnbi-webhook");
        let bundle = serde_json::to_value(ByteString(bundle.as_bytes().to_vec()))?;
        let cluster = ControlPlane::shared().await?;
        for (kind, entries) in [
            ("mutatingwebhookconfiguration", 1),
            ("validatingwebhookconfiguration", 2),
        ] {
            let of = |entry| json!({"op": "add", "path": format!("/webhooks/{entry}/clientConfig/caBundle"), "value": bundle});
            let changes = (0..entries).map(of).collect::<serde_json::Value>().to_string();
            let patch = ["patch", kind, &name, "--type=json", "-p", &changes];
            cluster.kubectl().args(patch).ok().await?;
        }
        Ok(())
    }

    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), self.installation.namespace())
    }

    /// The certificate of the signing CA in the Secret; empty if it is missing.
    pub async fn ca(&self) -> Outcome<Vec<u8>> {
        let secret = self.secrets().get_opt(CA_SECRET).await?;
        let data = secret.and_then(|secret| secret.data).unwrap_or_default();
        Ok(data.get("tls.crt").map(|it| it.0.clone()).unwrap_or_default())
    }

    /// Creates or changes the Secret of the CA.
    pub async fn bring_ca(&self, certificate: &str, key: &str) -> Outcome {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": CA_SECRET},
            "type": "kubernetes.io/tls", "stringData": {"tls.crt": certificate, "tls.key": key}});
        let apply = PatchParams::apply("a-person").force();
        self.secrets().patch(CA_SECRET, &apply, &Patch::Apply(&secret)).await?;
        Ok(())
    }

    /// The expiry of each replica's served certificate, in Unix seconds.
    pub async fn ends(&self) -> Outcome<Vec<i64>> {
        self.metrics("cnbi_webhook_certificate_expiration_timestamp_seconds")
            .await
    }

    /// A metric of each replica, without its labels.
    pub async fn metrics(&self, name: &str) -> Outcome<Vec<i64>> {
        let mut values = Vec::new();
        for replica in &self.replicas {
            let mut stream = TcpStream::connect(("127.0.0.1", replica.port("metrics")?)).await?;
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
            let mut page = String::new();
            stream.read_to_string(&mut page).await?;
            let value = page.lines().find_map(|line| {
                let rest = line.strip_prefix(name)?.trim_start_matches("{}");
                rest.strip_prefix(' ')?.parse().ok()
            });
            values.push(value.ok_or_else(|| format!("{} has no metric {name}", replica.pod()))?);
        }
        Ok(values)
    }
}
