//! One running program of an installation.

use std::collections::BTreeMap;
use std::fs;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::process::{Process, binary};

use super::Installation;
use super::workload::{Port, Workload};

/// Replaces a pod: a process with the pod's arguments, environment and permissions.
#[derive(Debug)]
pub struct Replica {
    process: Process,
    pod: String,
    ports: BTreeMap<String, u16>,
    readiness: Option<String>,
}

impl Replica {
    pub(super) async fn start(
        installation: &Installation<'_>,
        workload: &Workload,
        ports: Vec<Port>,
        server: Option<&str>,
    ) -> Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let pod = format!("{}-{}", workload.deployment, STARTED.fetch_add(1, Ordering::Relaxed));
        let environment = workload.environment(&pod, &installation.namespace)?;
        let no_flags = Vec::new();
        let flags = installation.options.flags.get(&workload.container).unwrap_or(&no_flags);
        let path = match installation.options.programs.get(&workload.program) {
            Some(path) => path.clone(),
            None => binary(&workload.program)?,
        };
        let mut program = installation.control_plane.program(&pod, path);
        // Relative paths are resolved in the installation, as in a container.
        program.log = installation.folder.join(format!("{pod}.log"));
        program.folder = Some(installation.folder.clone());
        program.args = workload
            .arguments(&environment, &ports, flags)?
            .into_iter()
            .map(std::ffi::OsString::from)
            .collect();
        program.env = environment
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        // In a pod, the program finds API server and token in the environment and the mounted token.
        let mut kubeconfig = installation.kubeconfig(&workload.container).await?;
        if let Some(server) = server {
            let mut led: Value = serde_json::from_slice(&fs::read(&kubeconfig)?)?;
            led["clusters"][0]["cluster"] = json!({"server": server});
            kubeconfig = installation.folder.join(format!("{pod}.kubeconfig"));
            fs::write(&kubeconfig, led.to_string())?;
        }
        program.env.insert("KUBECONFIG".to_owned(), kubeconfig.into());
        let readiness = workload.readiness(&ports)?;
        Ok(Self {
            process: program.start()?,
            pod,
            readiness,
            ports: ports.into_iter().map(|port| (port.name, port.local)).collect(),
        })
    }

    /// The name of the pod, as passed to the program.
    pub fn pod(&self) -> &str {
        &self.pod
    }

    /// The local address of a container port, by its name in the Deployment.
    pub fn port(&self, name: &str) -> Result<u16> {
        self.ports
            .get(name)
            .copied()
            .with_context(|| format!("{} has no port {name}", self.pod))
    }

    /// Waits until its readiness probe returns 200.
    pub async fn ready(&mut self, within: Duration) -> Result<()> {
        let url = self
            .readiness
            .clone()
            .with_context(|| format!("{} has no readiness probe", self.pod))?;
        self.process.wait_until_ok(&url, within).await
    }

    /// The process, to wait for it or end it.
    pub fn into_process(self) -> Process {
        self.process
    }
}

impl Deref for Replica {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Replica {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
