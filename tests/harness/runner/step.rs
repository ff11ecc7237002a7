//! One step of a task: a process, with the arguments and the environment that its container would have.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::Client;
use oci_client::secrets::RegistryAuth;
use serde_json::Value;
use tokio::process::Command;

use crate::control_plane::ControlPlane;
use crate::process::binary;

use super::container::{Root, self_contained};
use super::folders::{Folders, secret_data};
use super::machine::Machine;
use super::plan::{Step, list};

/// How long a step may take.
const WITHIN: Duration = Duration::from_secs(600);

/// Our program, as the step images have it.
const PROGRAM: &str = "cnbi-step";

/// Where a pod's results go, and where buildah keeps its layers: the two places that our program knows without being told.
const RESULTS: &str = "/tekton/results";
const STORAGE: &str = "/var/lib/containers";

/// What the steps of a task share.
pub(super) struct Stage<'a> {
    pub(super) control_plane: &'a ControlPlane,
    pub(super) machine: &'a Machine,
    pub(super) client: &'a Client,
    pub(super) namespace: &'a str,
    /// What the run says of this task.
    pub(super) own_spec: &'a Value,
    /// The user's image, where a step runs in it.
    pub(super) image: Option<String>,
    pub(super) folders: &'a Folders,
    pub(super) task: &'a str,
    pub(super) results: PathBuf,
}

/// How a step ended.
pub(super) enum Ended {
    /// By itself.
    Ran { call: String, success: bool, log: String },
    /// It could not be run here.
    LeftOut(String),
}

impl Stage<'_> {
    /// Runs it to its end.
    pub(super) async fn run(&self, step: &Step) -> Result<Ended> {
        let [program] = step.command.as_slice() else {
            anyhow::bail!("its command is {:?}", step.command);
        };
        let name = program.rsplit('/').next().unwrap_or_default();
        ensure!(name == PROGRAM, "it runs {program}, which is none of ours");
        let command = if self.image.as_deref() == Some(step.image.as_str()) {
            match self.in_image(step, program).await? {
                Ok(command) => command,
                Err(why) => return Ok(Ended::LeftOut(why)),
            }
        } else {
            self.on_this_machine(step).await?
        };
        self.ended(command, step).await
    }

    async fn ended(&self, mut command: Command, step: &Step) -> Result<Ended> {
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(WITHIN, command.output()).await;
        let output = output.context("it does not end")?.context("starting it")?;
        let mut log = String::from_utf8_lossy(&output.stdout).into_owned();
        log.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok(Ended::Ran {
            call: shown(step),
            success: output.status.success(),
            log,
        })
    }

    /// Where something that a container mounts lies here.
    fn placed(&self, mount: &str) -> Result<String> {
        Ok(self.folders.of_task(self.task, mount)?.display().to_string())
    }

    /// Paths below mounts, in an argument or a variable, as they are here.
    fn moved(&self, step: &Step, text: &str) -> Result<String> {
        for mount in &step.mounts {
            let (before, path) = text.split_once('=').map_or(("", text), |(key, path)| (key, path));
            // The run's own folders may lie below a path of the same name.
            if self.folders.has(path) {
                break;
            }
            if path == mount
                || path
                    .strip_prefix(mount.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
            {
                let joint = if before.is_empty() { "" } else { "=" };
                return Ok(format!(
                    "{before}{joint}{}{}",
                    self.placed(mount)?,
                    &path[mount.len()..]
                ));
            }
        }
        Ok(text.to_owned())
    }

    async fn on_this_machine(&self, step: &Step) -> Result<Command> {
        let home = self.placed("/tmp")?;
        let mut command = Command::new(binary(PROGRAM)?);
        command
            .env_clear()
            .env("PATH", self.machine.search_path()?)
            .env("TMPDIR", &home)
            .env("HOME", &home)
            .arg("--results")
            .arg(&self.results);
        // A machine of ours may keep its public authorities in an unusual place.
        if let Some(given) = std::env::var_os("SSL_CERT_FILE") {
            command.env("SSL_CERT_FILE", given);
        }
        for (name, value) in &step.env {
            command.env(name, self.moved(step, value)?);
        }
        let pod = &self.own_spec["podTemplate"];
        if pod["automountServiceAccountToken"] == true {
            let account = self.own_spec["serviceAccountName"].as_str().unwrap_or("default");
            let kubeconfig = self.control_plane.service_account_kubeconfig(self.namespace, account);
            command.env("KUBECONFIG", kubeconfig.await?);
        }
        for argument in &step.args {
            command.arg(self.moved(step, argument)?);
            if argument == "build" && step.mounts.iter().any(|mount| mount == STORAGE) {
                command.arg(format!("--storage={}", self.placed(STORAGE)?));
            }
        }
        Ok(command)
    }

    /// The step in the user's image, or why it cannot be run here.
    async fn in_image(&self, step: &Step, program: &str) -> Result<Result<Command, String>> {
        let Some(how) = self.machine.changed_root else {
            return Ok(Err("this machine lets nobody enter another root".to_owned()));
        };
        let folder = self.folders.of_task(self.task, "root")?;
        let root = Root::pull(&step.image, &self.pulls_with(&step.image).await?, &folder).await;
        let root = root.with_context(|| format!("pulling {}", step.image))?;
        for mount in &step.mounts {
            let placed = self.folders.of_task(self.task, mount)?;
            let inside = root.folder(mount)?;
            for entry in std::fs::read_dir(placed)? {
                let entry = entry?;
                std::fs::copy(entry.path(), inside.join(entry.file_name()))?;
            }
        }
        let (inside, name) = program.rsplit_once('/').context("its program has no folder")?;
        let mut call = self_contained(&root.folder(inside)?, inside, name).await?;
        call.extend(step.args.iter().cloned());
        let results = root.folder(RESULTS)?;
        std::fs::remove_dir_all(&self.results)?;
        std::os::unix::fs::symlink(&results, &self.results)?;
        Ok(Ok(root.command(how, &step.env, &call)?))
    }

    /// What a kubelet would pull an image with: the Secrets that the pod template names.
    async fn pulls_with(&self, image: &str) -> Result<RegistryAuth> {
        let host = image.split('/').next().unwrap_or_default();
        for named in list(&self.own_spec["podTemplate"]["imagePullSecrets"]) {
            let name = named["name"].as_str().unwrap_or_default();
            for (_, text) in secret_data(self.client, self.namespace, name).await? {
                let config: Value = serde_json::from_slice(&text).unwrap_or_default();
                let entry = &config["auths"][host];
                if let (Some(user), Some(password)) = (entry["username"].as_str(), entry["password"].as_str()) {
                    return Ok(RegistryAuth::Basic(user.to_owned(), password.to_owned()));
                }
            }
        }
        Ok(RegistryAuth::Anonymous)
    }
}

/// The call as it stands in the Task, for people: without what is encoded.
fn shown(step: &Step) -> String {
    let words = step.args.iter().take_while(|argument| !argument.starts_with('-'));
    let words: Vec<&str> = words.map(String::as_str).collect();
    format!("{PROGRAM} {}", words.join(" "))
}
