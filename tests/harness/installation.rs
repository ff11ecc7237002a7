//! Installs a kustomization as an admin would, and runs the programs of its Deployments.
//!
//! The harness replaces kubelet and kube-proxy: each program is a process with the arguments and environment of its Deployment
//! and a token of its service account, and the Service of a webhook configuration points to a port on loopback. Only [`shipped`]
//! depends on this project's files and flags.

mod fault_proxy;
mod render;
mod replica;
mod service;
pub mod shipped;
mod workload;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::kubectl::KubectlOutput;

pub use fault_proxy::{FaultProxy, ProxyAction};
pub use replica::Replica;
pub use service::Service;
use workload::Workload;

/// The label of the namespaces that belong to an installation.
const LABEL: &str = "cnbi.meteor.zone/installation";

/// What to install, and the differences from the manifests.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The folder with the overlay and all files that it refers to.
    pub tree: PathBuf,
    /// The overlay's folder within the tree.
    pub overlay: PathBuf,
    /// With a name, the installation shares its control plane with others: it gets its own namespace, cluster-scoped objects are
    /// renamed, objects in other namespaces are left out, and its webhooks select only namespaces created by
    /// [`Installation::create_namespace`]. Without a name, the manifests are applied unchanged.
    pub name: Option<String>,
    /// Flags whose value is the name of a cluster-scoped object, and the kind of that object.
    pub names: BTreeMap<String, String>,
    /// Additional flags by container; they override those of the Deployment.
    pub flags: BTreeMap<String, Vec<(String, String)>>,
    /// Programs from outside this workspace, by their name in the Deployment.
    pub programs: BTreeMap<String, PathBuf>,
}

/// An installed kustomization.
#[derive(Debug)]
pub struct Installation<'a> {
    control_plane: &'a ControlPlane,
    options: Options,
    namespace: String,
    folder: PathBuf,
    workloads: Vec<Workload>,
}

impl<'a> Installation<'a> {
    /// Renders the overlay and applies it with kubectl; starts no program.
    pub async fn install(control_plane: &'a ControlPlane, options: Options) -> Result<Self> {
        let folder = control_plane
            .data()
            .join("installations")
            .join(options.name.as_deref().unwrap_or("default"));
        ensure!(
            !folder.exists(),
            "{} has an installation of this name already",
            control_plane.data().display()
        );
        let tree = folder.join("tree");
        copy(&options.tree, &tree)?;
        let overlay = tree.join(&options.overlay);
        if let Some(name) = &options.name {
            set_namespace(&overlay, name)?;
        }
        let rendered = control_plane
            .kubectl()
            .args([Path::new("kustomize"), &overlay])
            .ok()
            .await?;
        let mut objects: Vec<Value> =
            serde_saphyr::from_multiple(&rendered).context("parsing the output of kustomize")?;

        let namespace = render::namespace(&objects)?;
        if let Some(name) = &options.name {
            render::keep_own_namespace(&mut objects, &namespace);
            render::set_apart(&mut objects, name, (LABEL, name));
        }
        let mut workloads = workload::read(&objects)?;
        if let Some(name) = &options.name {
            for workload in &mut workloads {
                workload.rename(&options.names, |kind, old| render::renamed(&objects, kind, old, name))?;
            }
        }
        render::lead_to_loopback(&mut objects, &workloads)?;

        let installation = Self {
            control_plane,
            options,
            namespace,
            folder,
            workloads,
        };
        installation.apply(&objects).await?;
        Ok(installation)
    }

    /// The namespace of the programs.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Creates a namespace that this installation's webhooks select.
    pub async fn create_namespace(&self, name: &str) -> Result<()> {
        let labels = self.label().map(|(key, value)| json!({key: value}));
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        self.control_plane
            .kubectl()
            .args(["create", "-f", "-"])
            .stdin(namespace.to_string())
            .ok()
            .await
            .map(drop)
    }

    /// Key and value of the label that this installation's webhooks select; `None` if they select all namespaces.
    pub fn label(&self) -> Option<(&str, &str)> {
        self.options.name.as_deref().map(|name| (LABEL, name))
    }

    /// The actual name of a cluster-scoped object, such as a webhook configuration.
    pub fn name_of(&self, name: &str) -> String {
        self.options
            .name
            .as_ref()
            .map_or_else(|| name.to_owned(), |suffix| render::own_name(name, suffix))
    }

    /// A kubeconfig for the service account of `container`.
    pub async fn kubeconfig(&self, container: &str) -> Result<PathBuf> {
        let workload = self.workload(container)?;
        self.control_plane
            .service_account_kubeconfig(&self.namespace, &workload.service_account)
            .await
    }

    /// Starts the program of a container on the port of its Service; call it again to restart a program that has ended.
    ///
    /// Does not wait; see [`Replica::ready`].
    pub async fn start(&self, container: &str) -> Result<Replica> {
        let workload = self.workload(container)?;
        Replica::start(self, workload, workload.ports.clone(), None).await
    }

    /// Like [`Self::start`], with another URL of the API server, such as that of a [`FaultProxy`].
    pub async fn start_behind(&self, container: &str, server: &str) -> Result<Replica> {
        let workload = self.workload(container)?;
        Replica::start(self, workload, workload.ports.clone(), Some(server)).await
    }

    /// Starts another replica on its own ports, without a Service.
    pub async fn start_beside(&self, container: &str) -> Result<Replica> {
        let workload = self.workload(container)?;
        Replica::start(self, workload, workload.other_ports()?, None).await
    }

    /// A fake Service for `port` of `container`, for replicas of [`Self::start_beside`]; it replaces the Service of
    /// [`Self::start`].
    pub async fn service(&self, container: &str, port: &str) -> Result<Service> {
        let workload = self.workload(container)?;
        let found = workload.ports.iter().find(|found| found.name == port);
        let found = found.with_context(|| format!("{container} has no port {port}"))?;
        Service::start(found.local, port).await
    }

    /// Starts every program and waits until all are ready.
    pub async fn start_all(&self, within: Duration) -> Result<Vec<Replica>> {
        let mut replicas = Vec::new();
        for workload in &self.workloads {
            replicas.push(self.start(&workload.container).await?);
        }
        for replica in &mut replicas {
            replica.ready(within).await?;
        }
        Ok(replicas)
    }

    /// Applies everything again, and returns kubectl's line for each object.
    pub async fn apply_again(&self) -> Result<String> {
        let mut said = String::new();
        for answer in self.again(&["apply"]).await? {
            ensure!(answer.success, "kubectl apply: {}", answer.stderr.trim());
            said += &answer.stdout;
        }
        Ok(said)
    }

    /// Calls kubectl with these arguments and `-f` for the applied objects, CustomResourceDefinitions first.
    pub async fn again(&self, args: &[&str]) -> Result<Vec<KubectlOutput>> {
        let mut answers = Vec::new();
        for file in (0..2).map(|step| self.folder.join(format!("{step}.json"))) {
            if file.exists() {
                let call = self.control_plane.kubectl().args(args).arg("-f").arg(&file);
                answers.push(call.run().await?);
            }
        }
        Ok(answers)
    }

    fn workload(&self, container: &str) -> Result<&Workload> {
        let found = self.workloads.iter().find(|workload| workload.container == container);
        found.with_context(|| format!("no Deployment has a container {container}"))
    }

    async fn apply(&self, objects: &[Value]) -> Result<()> {
        // kubectl applies a List in order, and custom resources need their definitions.
        let (kinds, others): (Vec<_>, Vec<_>) = objects
            .iter()
            .partition(|object| object["kind"] == "CustomResourceDefinition");
        for (step, items) in [kinds, others]
            .into_iter()
            .enumerate()
            .filter(|(_, items)| !items.is_empty())
        {
            let file = self.folder.join(format!("{step}.json"));
            fs::write(
                &file,
                json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string(),
            )?;
            let apply = || self.control_plane.kubectl().arg("apply").arg("-f").arg(&file);
            let answer = apply().run().await?;
            if !answer.success && answer.stderr.contains("(AlreadyExists)") {
                // Another installation has created the same definition concurrently.
                apply().ok().await?;
            } else {
                ensure!(answer.success, "kubectl apply: {}", answer.stderr.trim());
            }
            if step == 0 {
                self.control_plane
                    .until_established(&["-f".as_ref(), file.as_os_str()])
                    .await?;
            }
        }
        Ok(())
    }
}

/// Copies a folder, so that a test can edit the overlay.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| format!("copying {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Changes the namespace of an overlay, in the overlay or in its base.
fn set_namespace(overlay: &Path, name: &str) -> Result<()> {
    let (path, mut kustomization) =
        with_namespace(overlay)?.with_context(|| format!("{} has no namespace", overlay.display()))?;
    kustomization["namespace"] = name.into();
    fs::write(&path, kustomization.to_string()).with_context(|| format!("writing {}", path.display()))
}

fn with_namespace(folder: &Path) -> Result<Option<(PathBuf, Value)>> {
    let path = folder.join("kustomization.yaml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let kustomization: Value = serde_saphyr::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
    if kustomization["namespace"].is_string() {
        return Ok(Some((path, kustomization)));
    }
    let resources = kustomization["resources"].as_array().into_iter().flatten();
    for inner in resources.filter_map(|resource| Some(folder.join(resource.as_str()?))) {
        if inner.is_dir()
            && let Some(found) = with_namespace(&inner)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
