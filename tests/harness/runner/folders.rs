//! The workspaces of a run as folders: Secrets and ConfigMaps with the kubelet's layout, and an empty folder for a volume.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use serde_json::Value;
use tempfile::TempDir;

use super::plan::list;

/// The folders of one run; deleted on drop.
pub(super) struct Folders {
    root: TempDir,
    bound: Vec<(String, PathBuf)>,
}

impl Folders {
    /// Creates the folders. A missing Secret or ConfigMap is an error, because a pod would wait for it.
    pub(super) async fn of(client: &Client, run: &Value) -> Result<Self> {
        let root = tempfile::Builder::new().prefix("cnbi-run-").tempdir()?;
        let namespace = run["metadata"]["namespace"].as_str().unwrap_or_default();
        let mut bound = Vec::new();
        for workspace in list(&run["spec"]["workspaces"]) {
            let name = workspace["name"].as_str().unwrap_or_default();
            let folder = root.path().join("workspaces").join(name);
            fs::create_dir_all(&folder)?;
            let (secret, config_map) = (&workspace["secret"]["secretName"], &workspace["configMap"]["name"]);
            if let Some(secret) = secret.as_str() {
                mount(&folder, &secret_data(client, namespace, secret).await?)?;
            } else if let Some(map) = config_map.as_str() {
                let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
                let found = maps.get(map).await.with_context(|| format!("reading {map}"))?;
                let data = found.data.unwrap_or_default().into_iter();
                mount(
                    &folder,
                    &data.map(|(name, text)| (name, text.into_bytes())).collect::<Vec<_>>(),
                )?;
            } else if workspace["volumeClaimTemplate"].is_null() {
                bail!("the runner does not support the binding of workspace {name}: {workspace}");
            }
            bound.push((name.to_owned(), folder));
        }
        Ok(Self { root, bound })
    }

    /// The folder of a workspace, if it is bound.
    pub(super) fn of_workspace(&self, name: &str) -> Option<String> {
        let (_, folder) = self.bound.iter().find(|(own, _)| own == name)?;
        Some(folder.display().to_string())
    }

    /// Whether a path is in one of these folders.
    pub(super) fn has(&self, path: &str) -> bool {
        Path::new(path).starts_with(self.root.path())
    }

    /// Creates an empty folder for a task.
    pub(super) fn of_task(&self, task: &str, what: &str) -> Result<PathBuf> {
        let folder = self
            .root
            .path()
            .join("tasks")
            .join(task)
            .join(what.trim_start_matches('/'));
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// The entries of a Secret.
pub(super) async fn secret_data(client: &Client, namespace: &str, name: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = secrets.get(name).await.with_context(|| format!("reading {name}"))?;
    let data = found.data.unwrap_or_default().into_iter();
    Ok(data.map(|(name, bytes)| (name, bytes.0)).collect())
}

/// Like the kubelet, writes a link for each entry, to a folder that can be replaced atomically.
fn mount(folder: &Path, data: &[(String, Vec<u8>)]) -> Result<()> {
    fs::create_dir(folder.join("..version"))?;
    symlink("..version", folder.join("..data"))?;
    for (name, bytes) in data {
        fs::write(folder.join("..version").join(name), bytes)?;
        symlink(Path::new("..data").join(name), folder.join(name))?;
    }
    Ok(())
}
