//! Silent clients, and clients that send request bodies slowly, hold connections to the webhook from the API server's address. No
//! create fails, the probes pass, and memory stays below the shipped limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use http::Method;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::cluster::{ADMIN, cluster, resource, until};
use crate::idle_connections::allow_open_files;
use crate::test_installation::{TestInstallation, get};

const SILENT: usize = 2000;
const SLOW: usize = 700;
const SILENT_ON_STATUS: usize = 300;
const CREATES: usize = 40;

/// Reconnect delays of silent and of slow clients. Shorter delays would spend all CPU time of a debug build on handshakes.
const RECONNECT: Duration = Duration::from_secs(30);
const RECONNECT_SLOW: Duration = Duration::from_secs(5);

/// Limit for one create; the timeouts of the webhooks are 5 s each.
const CREATE: Duration = Duration::from_secs(5);

/// The head of a request whose 4 MiB body is never complete.
const SLOW_HEAD: &str =
    "POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 4194304\r\n\r\n";

struct Attack {
    port: u16,
    name: ServerName<'static>,
    tls: TlsConnector,
    connected: AtomicUsize,
}

impl Attack {
    async fn new(setup: &TestInstallation<'_>) -> Result<Self> {
        let name = setup.installation.name_of("cnbi-webhook");
        let path = format!("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{name}");
        let configuration = setup.done(Method::GET, &path, &Value::Null).await?;
        let bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"].as_str();
        let bundle = base64::engine::general_purpose::STANDARD.decode(bundle.context("no caBundle")?)?;
        let mut roots = rustls::RootCertStore::empty();
        for certificate in rustls::pki_types::CertificateDer::pem_slice_iter(&bundle) {
            roots.add(certificate?)?;
        }
        let config = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            port: setup.webhook.port("https")?,
            name: ServerName::try_from(format!("cnbi-webhook.{}.svc", setup.installation.namespace()))?,
            tls: TlsConnector::from(Arc::new(config)),
            connected: AtomicUsize::new(0),
        })
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let stream = self.tls.connect(self.name.clone(), stream).await?;
        self.connected.fetch_add(1, Ordering::Relaxed);
        Ok(stream)
    }

    async fn be_silent(self: Arc<Self>) {
        loop {
            if let Ok(mut stream) = self.connect().await {
                let _ = stream.read(&mut [0]).await;
            }
            sleep(RECONNECT).await;
        }
    }

    async fn be_slow(self: Arc<Self>) {
        loop {
            let _ = self.send_slowly().await;
            sleep(RECONNECT_SLOW).await;
        }
    }

    async fn send_slowly(&self) -> Result<()> {
        let mut stream = self.connect().await?;
        stream.write_all(SLOW_HEAD.as_bytes()).await?;
        stream.write_all(&vec![b' '; 32 * 1024]).await?;
        loop {
            stream.write_all(b" ").await?;
            stream.flush().await?;
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Holds a connection to the port for probes and metrics.
async fn be_silent_on(port: u16) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await {
            let _ = stream.read(&mut [0]).await;
        }
        sleep(RECONNECT).await;
    }
}

/// The memory limit of the Deployment, in KiB.
async fn memory_limit(setup: &TestInstallation<'_>) -> Result<usize> {
    let path = format!(
        "/apis/apps/v1/namespaces/{}/deployments/cnbi-webhook",
        setup.installation.namespace()
    );
    let deployment = setup.done(Method::GET, &path, &Value::Null).await?;
    let limit = &deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"];
    let mebibytes = limit.as_str().and_then(|limit| limit.strip_suffix("Mi"));
    Ok(mebibytes.context("the memory limit is not in Mi")?.parse::<usize>()? * 1024)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_create_fails_while_clients_exhaust_connections() -> Result<()> {
    allow_open_files(8192)?;
    TestInstallation::run_on(cluster().await?, "exhaustion", async |setup| {
        let attack = Arc::new(Attack::new(setup).await?);
        let limit = memory_limit(setup).await?;
        let status = setup.webhook.port("metrics")?;
        let mut attackers = JoinSet::new();
        for _ in 0..SILENT {
            attackers.spawn(Arc::clone(&attack).be_silent());
        }
        for _ in 0..SLOW {
            attackers.spawn(Arc::clone(&attack).be_slow());
        }
        for _ in 0..SILENT_ON_STATUS {
            attackers.spawn(be_silent_on(status));
        }
        until("all clients have connected", async || {
            Ok(attack.connected.load(Ordering::Relaxed) >= SILENT + SLOW)
        })
        .await?;
        until("the limit of connections is reached", async || {
            let metrics = get(&setup.webhook, "/metrics").await?;
            Ok(metrics.contains(r#"listener="reviews",reason="no_review""#))
        })
        .await?;
        let (mut slowest, mut peak) = (Duration::ZERO, 0);
        for number in 0..CREATES {
            let object = resource(&setup.namespace(), &format!("during-{number}"), json!({}));
            let begin = Instant::now();
            let created = setup.create(ADMIN, &object).await?;
            ensure!(created.is_success(), "create {number}: {}", created.body);
            slowest = slowest.max(begin.elapsed());
            peak = peak.max(setup.webhook.resident()?);
            let ready = get(&setup.webhook, "/readyz?exclude=shutdown").await?;
            ensure!(ready.starts_with("HTTP/1.1 200"), "{ready}");
            sleep(Duration::from_millis(100)).await;
        }
        let object = resource(&setup.namespace(), "with-kubectl", json!({})).to_string();
        setup.kubectl("create").args(["-f", "-"]).stdin(object).ok().await?;
        attackers.shutdown().await;
        eprintln!(
            "{CREATES} creates with {SILENT} silent and {SLOW} slow connections, {} handshakes: the slowest took {slowest:?}; \
             peak of resident memory {peak} KiB, limit {limit} KiB",
            attack.connected.load(Ordering::Relaxed)
        );
        ensure!(slowest < CREATE, "the slowest create took {slowest:?}");
        ensure!(peak < limit, "peak of resident memory {peak} KiB exceeds {limit} KiB");
        Ok(())
    })
    .await
}
