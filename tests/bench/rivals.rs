//! Who is measured: our webhook as it is installed, the peer, and the two floors, each on the core for servers.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use cnbi_tests::control_plane::{ControlPlane, ports};
use cnbi_tests::installation::{Installation, Options, Replica, shipped};
use cnbi_tests::process::Process;
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long any of them may take to be ready.
const READY: Duration = Duration::from_secs(60);

/// The label of the namespaces that the peer is asked about.
pub const PEER_LABEL: (&str, &str) = ("cnbi.meteor.zone/bench", "peer");

/// Where to send load, and what the certificate is for.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// The name in its certificate.
    pub name: String,
    /// PEM file with who signed it.
    pub authority: PathBuf,
    /// Its process.
    pub pid: u32,
}

impl Target {
    /// Memory that is resident, in KiB.
    pub fn resident(&self) -> Result<usize> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Ok(line.context("no VmRSS")?.trim().trim_end_matches(" kB").parse()?)
    }

    /// Processor time that it has used since it was started, in microseconds.
    pub fn used(&self) -> Result<f64> {
        let mut nanoseconds = 0.0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            // A thread may have ended by now.
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
                continue;
            };
            let first = text.split_whitespace().next().context("schedstat is empty")?;
            nanoseconds += first.parse::<f64>()?;
        }
        Ok(nanoseconds / 1e3)
    }
}

/// The cores that servers and the load generator are kept to, so that they do not take turns on one.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    /// For whoever is measured.
    pub server: usize,
    /// For the load generator.
    pub client: usize,
}

impl Cores {
    /// The first two.
    pub fn of_this_machine() -> Self {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            server: 0,
            client: count.min(2) - 1,
        }
    }
}

/// Our webhook.
pub struct Ours<'a> {
    installation: &'a Installation<'a>,
    folder: PathBuf,
    replica: Option<Replica>,
}

/// What to install: as it is shipped, but on one core. `webhook` is the program of it that is measured.
pub fn options(folder: &Path, webhook: &Path, cores: Cores) -> Result<Options> {
    let wrapper = folder.join("cnbi-webhook");
    let bench = std::env::current_exe()?;
    let script = format!(
        "#!/bin/sh\nexec '{}' pinned {} '{}' \"$@\"\n",
        bench.display(),
        cores.server,
        webhook.display()
    );
    fs::write(&wrapper, script)?;
    fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let mut options = shipped::default(Some("bench"));
    options.programs.insert("cnbi-webhook".to_owned(), wrapper);
    Ok(options)
}

impl<'a> Ours<'a> {
    /// It does not run yet.
    pub fn new(installation: &'a Installation<'a>, folder: &Path) -> Self {
        Self {
            installation,
            folder: folder.to_owned(),
            replica: None,
        }
    }

    /// Starts it, again if it runs, and says how long it took until it was ready.
    pub async fn start(&mut self) -> Result<Duration> {
        if let Some(replica) = self.replica.take() {
            replica.into_process().kill().await?;
        }
        let mut replica = self.installation.start(shipped::WEBHOOK).await?;
        let took = until_ready(local(replica.port("metrics")?)).await;
        let took = took.inspect_err(|_| {
            if let Err(error) = replica.ensure_running() {
                eprintln!("{error:#}");
            }
        })?;
        self.replica = Some(replica);
        Ok(took)
    }

    /// Where it listens, and the authority that the API server has been told of.
    pub async fn target(&self, client: &kube::Client) -> Result<Target> {
        let replica = self.replica.as_ref().context("it does not run")?;
        let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration");
        let api: kube::Api<DynamicObject> = kube::Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
        let configuration = api.get(&self.installation.name_of("cnbi-webhook")).await?;
        let bundle = configuration.data["webhooks"][0]["clientConfig"]["caBundle"].as_str();
        let bundle = base64::engine::general_purpose::STANDARD.decode(bundle.context("there is no caBundle")?)?;
        let authority = self.folder.join("ours.pem");
        fs::write(&authority, bundle)?;
        Ok(Target {
            address: local(replica.port("https")?),
            name: format!("cnbi-webhook.{}.svc", self.installation.namespace()),
            authority,
            pid: replica.pid(),
        })
    }

    /// Memory that it occupies, in MiB.
    pub fn resident(&self) -> Result<f64> {
        in_mib(self.replica.as_ref().context("it does not run")?.resident()?)
    }
}

/// A server that is one process of ours to start, with a certificate that was made for it.
pub struct Rival<'a> {
    control_plane: &'a ControlPlane,
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    kubeconfig: Option<PathBuf>,
    address: SocketAddr,
    ready: Option<SocketAddr>,
    authority: PathBuf,
    core: usize,
    process: Option<Process>,
}

/// The name that the certificates of the rivals are for.
const NAME: &str = "localhost";

/// Makes a certificate for the rivals, and gives its PEM, which is its own authority.
pub fn certificate(folder: &Path) -> Result<String> {
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned(), "127.0.0.1".to_owned()])?;
    fs::write(folder.join("tls.crt"), made.cert.pem())?;
    fs::write(folder.join("tls.key"), made.signing_key.serialize_pem())?;
    Ok(made.cert.pem())
}

impl<'a> Rival<'a> {
    /// The peer, with the rights of our webhook's service account and the configuration in `policy`.
    pub async fn peer(
        control_plane: &'a ControlPlane,
        installation: &Installation<'_>,
        program: &Path,
        folder: &Path,
        policy: &Path,
        cores: Cores,
    ) -> Result<Self> {
        let [listen, probes, metrics] = ports::free::<3>()?.map(local);
        let arguments = vec![
            format!("--listen={listen}"),
            format!("--probes={probes}"),
            format!("--metrics={metrics}"),
            format!("--certificates={}", folder.display()),
            format!("--configuration={}", policy.display()),
        ];
        Ok(Self {
            control_plane,
            name: "peer",
            program: program.to_owned(),
            arguments,
            kubeconfig: Some(installation.kubeconfig(shipped::WEBHOOK).await?),
            address: listen,
            ready: Some(probes),
            authority: folder.join("tls.crt"),
            core: cores.server,
            process: None,
        })
    }

    /// A floor that parses reviews, or one that does not.
    pub fn floor(control_plane: &'a ControlPlane, folder: &Path, parses: bool, cores: Cores) -> Result<Self> {
        let [listen] = ports::free::<1>()?.map(local);
        let mut arguments = vec![
            "floor".to_owned(),
            format!("--listen={listen}"),
            format!("--certificates={}", folder.display()),
        ];
        arguments.extend(parses.then(|| "--parse".to_owned()));
        Ok(Self {
            control_plane,
            name: if parses { "parse_floor" } else { "noop_floor" },
            program: std::env::current_exe()?,
            arguments,
            kubeconfig: None,
            address: listen,
            ready: None,
            authority: folder.join("tls.crt"),
            core: cores.server,
            process: None,
        })
    }

    /// Starts it, again if it runs, and says how long it took until it was ready.
    pub async fn start(&mut self) -> Result<Duration> {
        if let Some(process) = self.process.take() {
            process.kill().await?;
        }
        let bench = std::env::current_exe()?;
        let mut program = self.control_plane.program(self.name, bench);
        program.args = vec![
            "pinned".into(),
            self.core.to_string().into(),
            self.program.clone().into(),
        ];
        program.args.extend(self.arguments.iter().map(Into::into));
        if let Some(kubeconfig) = &self.kubeconfig {
            program.env.insert("KUBECONFIG".to_owned(), kubeconfig.into());
        }
        let mut process = program.start()?;
        let begin = Instant::now();
        let took = match self.ready {
            Some(address) => until_ready(address).await,
            None => until_connected(self.address, begin).await,
        };
        let took = took.inspect_err(|_| {
            if let Err(error) = process.ensure_running() {
                eprintln!("{error:#}");
            }
        })?;
        self.process = Some(process);
        Ok(took)
    }

    /// Where it listens.
    pub fn target(&self) -> Result<Target> {
        Ok(Target {
            address: self.address,
            name: NAME.to_owned(),
            authority: self.authority.clone(),
            pid: self.process.as_ref().context("it does not run")?.pid(),
        })
    }

    /// Memory that it occupies, in MiB.
    pub fn resident(&self) -> Result<f64> {
        in_mib(self.process.as_ref().context("it does not run")?.resident()?)
    }

    /// What registers it for the namespaces with [`PEER_LABEL`].
    pub fn registration(&self, authority: &str) -> Value {
        let bundle = base64::engine::general_purpose::STANDARD.encode(authority);
        let (key, value) = PEER_LABEL;
        let configuration = |kind: &str, path: &str| {
            json!({
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": kind,
                "metadata": {"name": "peer"},
                "webhooks": [{
                    "name": "peer.cnbi.meteor.zone",
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "failurePolicy": "Fail",
                    "timeoutSeconds": 5,
                    "clientConfig": {"url": format!("https://{}{path}", self.address), "caBundle": bundle},
                    "namespaceSelector": {"matchLabels": {key: value}},
                    "rules": [{
                        "apiGroups": ["meteor.zone"],
                        "apiVersions": ["v1alpha1"],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": ["customnbimages"],
                        "scope": "Namespaced",
                    }],
                }],
            })
        };
        json!({"apiVersion": "v1", "kind": "List", "items": [
            configuration("MutatingWebhookConfiguration", "/mutate"),
            configuration("ValidatingWebhookConfiguration", "/validate"),
        ]})
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn in_mib(kib: usize) -> Result<f64> {
    Ok(f64::from(u32::try_from(kib)?) / 1024.0)
}

/// Asks for `/readyz` every two milliseconds until it is answered with 200. It counts from the call: both programs are
/// started the same way before.
async fn until_ready(address: SocketAddr) -> Result<Duration> {
    let begin = Instant::now();
    while begin.elapsed() < READY {
        if asked(address).await.is_ok_and(|is_ready| is_ready) {
            return Ok(begin.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    bail!("{address} is not ready within {READY:?}")
}

async fn asked(address: SocketAddr) -> Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}

async fn until_connected(address: SocketAddr, begin: Instant) -> Result<Duration> {
    loop {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(begin.elapsed());
        }
        ensure!(begin.elapsed() < READY, "{address} does not listen within {READY:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
