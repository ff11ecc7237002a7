//! Installs a kustomization as an administrator would, and runs the programs of its Deployments.
//!
//! Where there are nodes, the kubelet starts a container and a Service leads to it. Here an installation does both jobs:
//! a Deployment's program is a process with the Deployment's arguments and environment and a token of its service
//! account, and the Service that a webhook configuration names leads to a port on loopback. All else is what the API
//! server makes of the files. This room knows no file and no flag of this project except in [`shipped`].

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

/// The label that tells one installation's namespaces from another's.
const LABEL: &str = "cnbi.meteor.zone/installation";

/// What to install and how it differs from what the files say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The folder that holds the overlay and everything it refers to.
    pub tree: PathBuf,
    /// The overlay's folder within the tree.
    pub overlay: PathBuf,
    /// With a name, the installation shares its control plane with others: it gets a namespace of its own, objects
    /// without a namespace get names of their own, what lives in other namespaces is left out, and its webhooks are asked
    /// only about namespaces that [`Installation::create_namespace`] makes. Without one, everything is as the files say.
    pub name: Option<String>,
    /// Flags whose value is the name of an object without a namespace, and the kind of that object.
    pub names: BTreeMap<String, String>,
    /// Flags to set in addition, by container; one that the Deployment sets as well is replaced.
    pub flags: BTreeMap<String, Vec<(String, String)>>,
    /// Programs that are not of this workspace, by the name the Deployment calls them.
    pub programs: BTreeMap<String, PathBuf>,
}

/// A kustomization on a control plane.
#[derive(Debug)]
pub struct Installation<'a> {
    control_plane: &'a ControlPlane,
    options: Options,
    namespace: String,
    folder: PathBuf,
    workloads: Vec<Workload>,
}

impl<'a> Installation<'a> {
    /// Renders the overlay and applies it with kubectl; no program runs yet.
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
            serde_saphyr::from_multiple(&rendered).context("reading what kustomize rendered")?;

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

    /// Where the programs live.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Makes a namespace that this installation's webhooks are asked about.
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

    /// The label, key and value, of the namespaces that this installation's webhooks are asked about; `None` where they
    /// are asked about all.
    pub fn label(&self) -> Option<(&str, &str)> {
        self.options.name.as_deref().map(|name| (LABEL, name))
    }

    /// The name that an object without a namespace has got, such as a webhook configuration.
    pub fn name_of(&self, name: &str) -> String {
        self.options
            .name
            .as_ref()
            .map_or_else(|| name.to_owned(), |suffix| render::own_name(name, suffix))
    }

    /// A kubeconfig with the rights of the service account that runs `container`.
    pub async fn kubeconfig(&self, container: &str) -> Result<PathBuf> {
        let workload = self.workload(container)?;
        self.control_plane
            .service_account_kubeconfig(&self.namespace, &workload.service_account)
            .await
    }

    /// Starts the program of a container where its Service leads; start it again after it has ended.
    ///
    /// Returns at once: see [`Replica::ready`].
    pub async fn start(&self, container: &str) -> Result<Replica> {
        let workload = self.workload(container)?;
        Replica::start(self, workload, workload.ports.clone(), None).await
    }

    /// The same for a program that finds the API server at `server`, such as the URL of a [`FaultProxy`].
    pub async fn start_behind(&self, container: &str, server: &str) -> Result<Replica> {
        let workload = self.workload(container)?;
        Replica::start(self, workload, workload.ports.clone(), Some(server)).await
    }

    /// Starts one more replica, on ports of its own, which no Service leads to.
    pub async fn start_beside(&self, container: &str) -> Result<Replica> {
        let workload = self.workload(container)?;
        Replica::start(self, workload, workload.other_ports()?, None).await
    }

    /// Plays the Service that leads to `port` of `container`, for replicas of [`Self::start_beside`]; it takes the place of the one
    /// of [`Self::start`].
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

    /// Applies everything once more, as an administrator would, and gives what kubectl says of each object.
    pub async fn apply_again(&self) -> Result<String> {
        let mut said = String::new();
        for answer in self.again(&["apply"]).await? {
            ensure!(answer.success, "kubectl apply: {}", answer.stderr.trim());
            said += &answer.stdout;
        }
        Ok(said)
    }

    /// Calls kubectl with these arguments and `-f` for what was applied, the kinds before everything else.
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
        // Kinds first, as kubectl takes a List in order and what is of a new kind would not be known yet.
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
                // Two installations bring the same kind, and the other one was first.
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

/// Copies a folder, so that its overlay can be edited as an administrator's own copy.
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

/// Edits the one line that names an overlay's namespace, in the overlay or in what it is made of.
fn set_namespace(overlay: &Path, name: &str) -> Result<()> {
    let (path, mut kustomization) =
        with_namespace(overlay)?.with_context(|| format!("{} names no namespace", overlay.display()))?;
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
