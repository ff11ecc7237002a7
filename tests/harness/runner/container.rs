//! Runs a step in the user's image: a process with the files of the image as its root.
//!
//! Limits, capabilities and the pod network are not simulated. Files, user and environment are those of the image.

use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::manifest::OciImageManifest;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use serde_json::Value;
use tokio::process::Command;

use super::machine::ChangedRoot;

/// Mounts `/dev/null` below the root `$1`, and then executes the other arguments.
const ENTER: &str = r#"
mkdir -p "$1/dev" && : >"$1/dev/null" && mount --bind /dev/null "$1/dev/null" || exit 125
shift
exec "$@"
"#;

/// An image's files and configuration.
pub(super) struct Root {
    folder: PathBuf,
    user: String,
    env: Vec<(String, String)>,
}

impl Root {
    /// Pulls `image` into a folder. Registries on loopback are accessed by HTTP.
    pub(super) async fn pull(image: &str, auth: &RegistryAuth, folder: &Path) -> Result<Self> {
        let reference: Reference = image
            .parse()
            .with_context(|| format!("{image} is not an image reference"))?;
        // Has no effect if a provider is installed already; only ring is compiled in.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::try_from(ClientConfig {
            protocol: ClientProtocol::HttpsExcept(vec![reference.registry().to_owned()]),
            no_proxy: Some("*".to_owned()),
            ..ClientConfig::default()
        })?;
        client.auth(&reference, auth, RegistryOperation::Pull).await?;
        let (manifest, _) = client.pull_image_manifest(&reference, auth).await?;
        let OciImageManifest { config, layers, .. } = manifest;
        let mut text = Vec::new();
        client.pull_blob(&reference, &config, &mut text).await?;
        let config: Value = serde_json::from_slice(&text).context("reading the image's configuration")?;
        for layer in &layers {
            let mut blob = Vec::new();
            client.pull_blob(&reference, layer, &mut blob).await?;
            unpack(&blob, folder).with_context(|| format!("unpacking {}", layer.digest))?;
        }
        let config = &config["config"];
        let env = config["Env"].as_array().into_iter().flatten();
        let env = env.filter_map(|pair| pair.as_str()?.split_once('='));
        Ok(Self {
            folder: folder.to_owned(),
            user: config["User"].as_str().unwrap_or_default().to_owned(),
            env: env.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        })
    }

    /// A world-writable folder in the image; created if it does not exist.
    pub(super) fn folder(&self, path: &str) -> Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = self.folder.join(path.trim_start_matches('/'));
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
        Ok(folder)
    }

    /// A command in the image, with the environment of image and step, as the image's user.
    pub(super) fn command(&self, how: ChangedRoot, step: &[(String, String)], call: &[String]) -> Result<Command> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child"]);
        let mut enter = vec![chroot()?.display().to_string()];
        match how {
            ChangedRoot::AsRoot => {
                let (user, group) = self.user.split_once(':').unwrap_or((&self.user, "0"));
                // The check of `runAsNonRoot`.
                let is_somebody = user.parse::<u32>().is_ok_and(|number| number != 0);
                ensure!(is_somebody, "the image's user {user:?} is root or not a number");
                enter.push(format!("--userspec={user}:{group}"));
            }
            ChangedRoot::InUserNamespace => {
                command.arg("--map-root-user");
            }
        }
        // The shell and its PATH are this machine's; the image's PATH is used after chroot.
        command.args(["--", "/bin/sh", "-c", ENTER, "enter"]).arg(&self.folder);
        command.args(["env", "-i"]);
        let variables = self.env.iter().chain(step);
        command.args(variables.map(|(name, value)| format!("{name}={value}")));
        command.args(enter).arg(&self.folder).args(call);
        Ok(command)
    }
}

/// The path of chroot, which may not be in PATH for users other than root.
fn chroot() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut programs = std::env::split_paths(&path)
        .chain(more)
        .map(|folder| folder.join("chroot"));
    programs
        .find(|program| program.is_file())
        .context("chroot was not found")
}

/// Unpacks a layer (OCI image specification, layer.md), including whiteouts.
fn unpack(blob: &[u8], folder: &Path) -> Result<()> {
    let is_packed = blob.starts_with(&[0x1f, 0x8b]);
    let reader: Box<dyn Read + '_> = if is_packed {
        Box::new(flate2::read::MultiGzDecoder::new(blob))
    } else {
        Box::new(blob)
    };
    let mut archive = tar::Archive::new(reader);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(rustix::process::geteuid().is_root());
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let is_inside = path
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        ensure!(is_inside, "{} is outside the image", path.display());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(removed) = name.strip_prefix(".wh.") {
            let removed = folder.join(path.with_file_name(removed));
            if fs::symlink_metadata(&removed).is_ok_and(|metadata| metadata.is_dir()) {
                fs::remove_dir_all(removed)?;
            } else if removed.symlink_metadata().is_ok() {
                fs::remove_file(removed)?;
            }
        } else {
            entry.unpack_in(folder)?;
        }
    }
    Ok(())
}

/// How to run `program` in `folder` with this machine's libraries, which are copied to `lib` in that folder. Programs in the step
/// images are static, but those of tests are not.
pub(super) async fn self_contained(folder: &Path, inside: &str, name: &str) -> Result<Vec<String>> {
    let listed = Command::new("ldd").arg(folder.join(name)).output().await;
    let listed = listed.context("starting ldd")?;
    let mut call = vec![format!("{inside}/{name}")];
    if !listed.status.success() {
        // The output of ldd for a static program.
        return Ok(call);
    }
    fs::create_dir_all(folder.join("lib"))?;
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        // Lines are `libc.so.6 => /lib/libc.so.6 (0x...)`; the line of the loader has no arrow.
        let words: Vec<&str> = line.split_whitespace().collect();
        let path = match words.as_slice() {
            [_, "=>", path, ..] => Path::new(*path),
            [path, ..] if path.starts_with('/') => Path::new(*path),
            _ => continue,
        };
        let file = path.file_name().context("a library without a name")?;
        fs::copy(path, folder.join("lib").join(file)).with_context(|| format!("copying {}", path.display()))?;
        if words.get(1) != Some(&"=>") {
            let loader = format!("{inside}/lib/{}", file.to_string_lossy());
            call.splice(0..0, [loader, "--library-path".to_owned(), format!("{inside}/lib")]);
        }
    }
    Ok(call)
}
