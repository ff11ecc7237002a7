//! A step in the user's own image: the image's files, from the registry, as the root of a process.
//!
//! A kubelet would do more: limits, capabilities, a network of the pod's own. What a step sees of the image is the same:
//! its files, its user, its environment.

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

/// Prepares what every container has below the root `$1`, and becomes the rest of its arguments.
const ENTER: &str = r#"
mkdir -p "$1/dev" && : >"$1/dev/null" && mount --bind /dev/null "$1/dev/null" || exit 125
shift
exec "$@"
"#;

/// An image's files, and what it says of how to run it.
pub(super) struct Root {
    folder: PathBuf,
    user: String,
    env: Vec<(String, String)>,
}

impl Root {
    /// Pulls `image` into a folder. Registries on loopback are spoken to as they are here: in the clear.
    pub(super) async fn pull(image: &str, auth: &RegistryAuth, folder: &Path) -> Result<Self> {
        let reference: Reference = image.parse().with_context(|| format!("{image} is no reference"))?;
        // Only the first call does anything; what is there already is ring too.
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

    /// A folder in it, made where it is not there; anybody may write to it.
    pub(super) fn folder(&self, path: &str) -> Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = self.folder.join(path.trim_start_matches('/'));
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
        Ok(folder)
    }

    /// A command in it, with its environment and a step's own, and as its user.
    pub(super) fn command(&self, how: ChangedRoot, step: &[(String, String)], call: &[String]) -> Result<Command> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child"]);
        let mut enter = vec![chroot()?.display().to_string()];
        match how {
            ChangedRoot::AsRoot => {
                let (user, group) = self.user.split_once(':').unwrap_or((&self.user, "0"));
                // As `runAsNonRoot` has it.
                let is_somebody = user.parse::<u32>().is_ok_and(|number| number != 0);
                ensure!(is_somebody, "the image's user {user:?} is no number, or root");
                enter.push(format!("--userspec={user}:{group}"));
            }
            ChangedRoot::InUserNamespace => {
                command.arg("--map-root-user");
            }
        }
        // The shell is this machine's, and so is its search path; the image's own counts from the new root on.
        command.args(["--", "/bin/sh", "-c", ENTER, "enter"]).arg(&self.folder);
        command.args(["env", "-i"]);
        let variables = self.env.iter().chain(step);
        command.args(variables.map(|(name, value)| format!("{name}={value}")));
        command.args(enter).arg(&self.folder).args(call);
        Ok(command)
    }
}

/// The program that changes the root; the search path of people who are not root may lack its folder.
fn chroot() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut programs = std::env::split_paths(&path)
        .chain(more)
        .map(|folder| folder.join("chroot"));
    programs.find(|program| program.is_file()).context("there is no chroot")
}

/// A layer (OCI image specification, layer.md), its removals included.
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
        ensure!(is_inside, "{} leads out of the image", path.display());
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

/// How to call `program`, which lies in `folder` beside nothing, so that it finds this machine's libraries: what the step
/// images have is linked statically, and a program for tests is not. The libraries go to `lib` in the same folder.
pub(super) async fn self_contained(folder: &Path, inside: &str, name: &str) -> Result<Vec<String>> {
    let listed = Command::new("ldd").arg(folder.join(name)).output().await;
    let listed = listed.context("starting ldd")?;
    let mut call = vec![format!("{inside}/{name}")];
    if !listed.status.success() {
        // It says so of a program that is linked statically.
        return Ok(call);
    }
    fs::create_dir_all(folder.join("lib"))?;
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        // `libc.so.6 => /lib/libc.so.6 (0x...)`, and the loader without an arrow.
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
