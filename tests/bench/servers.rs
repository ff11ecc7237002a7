//! The measured servers: the installed webhook, the peer, and the two floors, each on the core for servers.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use cnbi_tests::control_plane::{ControlPlane, ports};
use cnbi_tests::installation::{Installation, Options, Replica, shipped};
use cnbi_tests::process::Process;
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::target::{Cores, Target, in_mib, loopback, until_connected, until_ready};

/// The label of the namespaces that the peer's webhooks select.
pub const PEER_LABEL: (&str, &str) = ("cnbi.meteor.zone/bench", "peer");

/// The installed webhook.
pub struct Ours<'a> {
    installation: &'a Installation<'a>,
    folder: PathBuf,
    replica: Option<Replica>,
}

/// The shipped installation, with the webhook program `webhook` on one core.
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
    /// Does not start it.
    pub fn new(installation: &'a Installation<'a>, folder: &Path) -> Self {
        Self {
            installation,
            folder: folder.to_owned(),
            replica: None,
        }
    }

    /// Starts or restarts it. Returns the time until it was ready.
    pub async fn start(&mut self) -> Result<Duration> {
        if let Some(replica) = self.replica.take() {
            replica.into_process().kill().await?;
        }
        let mut replica = self.installation.start(shipped::WEBHOOK).await?;
        let took = until_ready(loopback(replica.port("metrics")?)).await;
        let took = took.inspect_err(|_| {
            if let Err(error) = replica.ensure_running() {
                eprintln!("{error:#}");
            }
        })?;
        self.replica = Some(replica);
        Ok(took)
    }

    /// Its address, with the CA from the webhook configuration.
    pub async fn target(&self, client: &kube::Client) -> Result<Target> {
        let replica = self.replica.as_ref().context("the server does not run")?;
        let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration");
        let api: kube::Api<DynamicObject> = kube::Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
        let configuration = api.get(&self.installation.name_of("cnbi-webhook")).await?;
        let bundle = configuration.data["webhooks"][0]["clientConfig"]["caBundle"].as_str();
        let bundle = base64::engine::general_purpose::STANDARD
            .decode(bundle.context("the webhook configuration has no caBundle")?)?;
        let authority = self.folder.join("ours.pem");
        fs::write(&authority, bundle)?;
        Ok(Target {
            address: loopback(replica.port("https")?),
            name: format!("cnbi-webhook.{}.svc", self.installation.namespace()),
            authority,
            pid: replica.pid(),
        })
    }

    /// Resident memory in MiB.
    pub fn resident(&self) -> Result<f64> {
        in_mib(self.replica.as_ref().context("the server does not run")?.resident()?)
    }
}

/// A server to compare with, with a self-signed certificate.
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

/// The name in the certificate of the servers to compare with.
const NAME: &str = "localhost";

/// Creates the self-signed certificate and returns its PEM.
pub fn certificate(folder: &Path) -> Result<String> {
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned(), "127.0.0.1".to_owned()])?;
    fs::write(folder.join("tls.crt"), made.cert.pem())?;
    fs::write(folder.join("tls.key"), made.signing_key.serialize_pem())?;
    Ok(made.cert.pem())
}

impl<'a> Rival<'a> {
    /// The Go peer, with the service account of the webhook and the configuration in `policy`.
    pub async fn peer(
        control_plane: &'a ControlPlane,
        installation: &Installation<'_>,
        program: &Path,
        folder: &Path,
        policy: &Path,
        cores: Cores,
    ) -> Result<Self> {
        let [listen, probes, metrics] = ports::free::<3>()?.map(loopback);
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

    /// A floor, which parses reviews or does not.
    pub fn floor(control_plane: &'a ControlPlane, folder: &Path, parses: bool, cores: Cores) -> Result<Self> {
        let [listen] = ports::free::<1>()?.map(loopback);
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

    /// Starts or restarts it. Returns the time until it was ready.
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

    /// Its address and certificate.
    pub fn target(&self) -> Result<Target> {
        Ok(Target {
            address: self.address,
            name: NAME.to_owned(),
            authority: self.authority.clone(),
            pid: self.process.as_ref().context("the server does not run")?.pid(),
        })
    }

    /// Resident memory in MiB.
    pub fn resident(&self) -> Result<f64> {
        in_mib(self.process.as_ref().context("the server does not run")?.resident()?)
    }

    /// The webhook configurations for namespaces with [`PEER_LABEL`].
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
