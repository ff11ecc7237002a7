//! A real OCI registry on loopback (distribution), deleted on drop.
//!
//! Without authentication, with a password, or with TLS and its own CA. Test images are created in `image.rs` and pushed with the
//! OCI library that CNBi uses.

mod image;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use oci_client::client::{Certificate, CertificateEncoding, Client, ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::assets;
use crate::control_plane::ports;
use crate::process::{Process, Program};

pub use image::{Image, digest};

/// Timeout for the start.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// User name of a registry with a password.
pub const USER: &str = "cnbi";
/// The password.
pub const PASSWORD: &str = "only-in-tests";
/// The htpasswd entry for the password: bcrypt with the lowest cost.
const HTPASSWD: &str = "cnbi:$2a$04$dE2RgesXhEN8Ua3HmF9WVuYUa1VAxRHEyhM9.f7M1YRE34eIIhE7q\n";

/// Kinds of registries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// Every request needs [`USER`] and [`PASSWORD`].
    pub has_password: bool,
    /// TLS with a certificate issued by [`Registry::authority`].
    pub has_tls: bool,
}

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    // Dropped before the folder, so that the process has ended when its data is deleted.
    process: Process,
    folder: TempDir,
    address: String,
    setup: Setup,
}

impl Registry {
    /// Starts one. The first call on a machine builds the program.
    pub async fn start(setup: Setup) -> Result<Self> {
        let program = tokio::task::spawn_blocking(assets::registry)
            .await
            .context("finding the registry")??;
        let folder = tempfile::tempdir().context("making a folder for the registry")?;
        let [port] = ports::free()?;
        let address = format!("127.0.0.1:{port}");
        let mut http = json!({ "addr": address, "secret": "of-one-registry" });
        if setup.has_tls {
            issue(folder.path())?;
            http["tls"] = json!({
                "certificate": folder.path().join("server.crt"), "key": folder.path().join("server.key"),
            });
        }
        let mut config = json!({
            "version": "0.1",
            "log": { "level": "warn", "accesslog": { "disabled": true } },
            "storage": {
                "filesystem": { "rootdirectory": folder.path().join("data") },
                "delete": { "enabled": true },
            },
            "http": http,
        });
        if setup.has_password {
            let path = folder.path().join("htpasswd");
            fs::write(&path, HTPASSWD).context("writing the passwords of the registry")?;
            config["auth"] = json!({ "htpasswd": { "realm": "tests", "path": path } });
        }
        let path = folder.path().join("config.yml");
        fs::write(&path, config.to_string()).context("writing the configuration of the registry")?;

        let mut program = Program::new("registry", program, folder.path().join("registry.log"));
        program.args = vec!["serve".into(), path.into()];
        // Otherwise it sends traces to a local port.
        program.env.insert("OTEL_TRACES_EXPORTER".to_owned(), "none".into());
        let mut process = program.start()?;
        let scheme = if setup.has_tls { "https" } else { "http" };
        process
            .wait_until_ok(&format!("{scheme}://{address}/"), READY_WITHIN)
            .await?;
        Ok(Self {
            process,
            folder,
            address,
            setup,
        })
    }

    /// Host and port, the prefix of image references.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The running program, to simulate faults.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The CA certificate in PEM, for a registry with TLS.
    pub fn authority(&self) -> Option<PathBuf> {
        self.setup.has_tls.then(|| self.folder.path().join("ca.crt"))
    }

    /// A `.dockerconfigjson` with the correct password.
    pub fn docker_config(&self) -> Value {
        json!({ "auths": { &self.address: { "username": USER, "password": PASSWORD } } })
    }

    /// Pushes an image to `name`, such as `team/base:v1`, and returns the digest of its manifest.
    pub async fn push(&self, name: &str, image: &Image) -> Result<String> {
        let (manifest, media_type) = image.manifest();
        for blob in image.blobs() {
            self.push_blob(name, blob).await?;
        }
        self.push_manifest(name, manifest, media_type).await
    }

    /// Pushes a blob to the repository of `name`, and returns its digest.
    pub async fn push_blob(&self, name: &str, blob: Vec<u8>) -> Result<String> {
        let digest = digest(&blob);
        let reference = self.reference(name)?;
        let client = self.client().await?;
        client
            .push_blob(&reference, blob, &digest)
            .await
            .with_context(|| format!("pushing a blob to {reference}"))?;
        Ok(digest)
    }

    /// Pushes a manifest unchanged, and returns its digest. The registry rejects references to missing blobs.
    pub async fn push_manifest(&self, name: &str, manifest: Vec<u8>, media_type: &str) -> Result<String> {
        let digest = digest(&manifest);
        let reference = self.reference(name)?;
        let client = self.client().await?;
        client
            .push_manifest_raw(&reference, manifest, media_type.parse()?)
            .await
            .with_context(|| format!("pushing {reference}"))?;
        Ok(digest)
    }

    /// The digest of `name` in the registry.
    pub async fn digest(&self, name: &str) -> Result<String> {
        let reference = self.reference(name)?;
        let client = self.client().await?;
        let digest = client.fetch_manifest_digest(&reference, &self.auth()).await;
        digest.with_context(|| format!("asking for {reference}"))
    }

    /// The full reference of `name`.
    pub fn reference(&self, name: &str) -> Result<oci_client::Reference> {
        let text = format!("{}/{name}", self.address);
        text.parse().with_context(|| format!("{text} is no image reference"))
    }

    /// Credentials, if the registry requires them.
    pub fn auth(&self) -> RegistryAuth {
        if self.setup.has_password {
            RegistryAuth::Basic(USER.to_owned(), PASSWORD.to_owned())
        } else {
            RegistryAuth::Anonymous
        }
    }

    /// A client with full access.
    pub async fn client(&self) -> Result<Client> {
        // Has no effect if a provider is installed already; only ring is compiled in.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = ClientConfig {
            protocol: if self.setup.has_tls {
                ClientProtocol::Https
            } else {
                ClientProtocol::Http
            },
            no_proxy: Some("*".to_owned()),
            ..ClientConfig::default()
        };
        if let Some(path) = self.authority() {
            config.tls_certs_only = vec![Certificate {
                encoding: CertificateEncoding::Pem,
                data: fs::read(path).context("reading the authority of the registry")?,
            }];
        }
        let client = Client::try_from(config).context("making a client for the registry")?;
        client.store_auth_if_needed(&self.address, &self.auth()).await;
        Ok(client)
    }
}

/// Creates a CA and a certificate for 127.0.0.1.
fn issue(folder: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(folder.join("ca.crt"), params.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate()?;
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
    fs::write(folder.join("server.crt"), params.signed_by(&key, &issuer)?.pem())?;
    fs::write(folder.join("server.key"), key.serialize_pem())?;
    Ok(())
}
