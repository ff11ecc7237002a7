//! Runs one step of a task as a process with the arguments and environment of its container.

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

/// Timeout of a step.
const WITHIN: Duration = Duration::from_secs(600);

/// CNBi's program in the step images.
const PROGRAM: &str = "cnbi-step";

/// Folders whose paths are fixed in cnbi-step: Tekton's results, and buildah's storage.
const RESULTS: &str = "/tekton/results";
const STORAGE: &str = "/var/lib/containers";

/// The context that the steps of a task share.
pub(super) struct Stage<'a> {
    pub(super) control_plane: &'a ControlPlane,
    pub(super) machine: &'a Machine,
    pub(super) client: &'a Client,
    pub(super) namespace: &'a str,
    /// The run's `taskRunSpecs` entry for this task.
    pub(super) own_spec: &'a Value,
    /// The user's image, if a step runs in it.
    pub(super) image: Option<String>,
    pub(super) folders: &'a Folders,
    pub(super) task: &'a str,
    pub(super) results: PathBuf,
}

/// The result of a step.
pub(super) enum Ended {
    /// It exited.
    Ran { call: String, success: bool, log: String },
    /// It cannot run on this machine.
    LeftOut(String),
}

impl Stage<'_> {
    /// Runs it to its end.
    pub(super) async fn run(&self, step: &Step) -> Result<Ended> {
        let [program] = step.command.as_slice() else {
            anyhow::bail!("the runner does not support the command {:?}", step.command);
        };
        let name = program.rsplit('/').next().unwrap_or_default();
        ensure!(name == PROGRAM, "the runner does not support the program {program}");
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
        let output = output.context("timeout of the step")?.context("starting it")?;
        let mut log = String::from_utf8_lossy(&output.stdout).into_owned();
        log.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok(Ended::Ran {
            call: shown(step),
            success: output.status.success(),
            log,
        })
    }

    /// The local folder of a mount path.
    fn placed(&self, mount: &str) -> Result<String> {
        Ok(self.folders.of_task(self.task, mount)?.display().to_string())
    }

    /// Replaces paths below mounts in an argument or a variable by local paths.
    fn moved(&self, step: &Step, text: &str) -> Result<String> {
        for mount in &step.mounts {
            let (before, path) = text.split_once('=').map_or(("", text), |(key, path)| (key, path));
            // A folder of the run may itself contain a mount path.
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
        // Public CAs may be in an unusual folder.
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

    /// Runs the step in the user's image, or returns why that is impossible here.
    async fn in_image(&self, step: &Step, program: &str) -> Result<Result<Command, String>> {
        let Some(how) = self.machine.changed_root else {
            return Ok(Err("this machine does not allow chroot".to_owned()));
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

    /// Credentials to pull images: the Secrets in the pod template.
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

/// The command in the Task for messages, without encoded arguments.
fn shown(step: &Step) -> String {
    let words = step.args.iter().take_while(|argument| !argument.starts_with('-'));
    let words: Vec<&str> = words.map(String::as_str).collect();
    format!("{PROGRAM} {}", words.join(" "))
}
