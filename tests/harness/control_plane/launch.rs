//! Starts the programs of a control plane in order, and waits until each is ready.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tokio::sync::Mutex;

use crate::assets::Assets;
use crate::process::{POLL, Process, Program, tail};

use super::kubeconfig::{self, Credential};
use super::pki::Pki;
use super::programs::{self, Ports};
use super::{ControlPlane, READY_WITHIN, lock, ports};

/// Attempts to find free ports.
const ATTEMPTS: u32 = 3;

/// Starts all programs on free ports.
pub(super) async fn launch(assets: &Assets, data: &Path, pki: &Pki) -> Result<ControlPlane> {
    for _ in 1..ATTEMPTS {
        match once(assets, data, pki).await {
            Err(error) if is_port_taken(data) => {
                eprintln!("control plane: another process uses one of its ports; trying other ports ({error:#})");
                if data.join("etcd").exists() {
                    fs::remove_dir_all(data.join("etcd")).context("removing etcd's data")?;
                }
            }
            outcome => return outcome,
        }
    }
    once(assets, data, pki).await
}

async fn once(assets: &Assets, data: &Path, pki: &Pki) -> Result<ControlPlane> {
    let [etcd, etcd_peer, api_server] = ports::free()?;
    let ports = Ports {
        etcd,
        etcd_peer,
        api_server,
    };
    let server = format!("https://127.0.0.1:{api_server}");
    let controllers = data.join("controllers.kubeconfig");
    for (path, of) in [(&data.join("kubeconfig"), "admin"), (&controllers, "controllers")] {
        kubeconfig::write(path, pki, &server, "default", of, &Credential::Certificate(of))?;
    }

    // The API server waits for etcd. The controllers give up on the API server after ten seconds, too early on a busy machine.
    let etcd = started(data, programs::etcd(assets, data, ports))?;
    let api_server_program = held(data, programs::api_server(assets, data, pki, ports));
    let api_server = api_server_program.start()?;
    let mut control_plane = ControlPlane {
        controller_manager: None,
        api_server: Mutex::new(Some(api_server)),
        api_server_program,
        etcd,
        sweeper: None,
        assets: assets.clone(),
        data: data.to_owned(),
        server,
        pki: pki.clone(),
    };
    control_plane.wait_until_ready().await?;
    let controllers = started(data, programs::controller_manager(assets, data, pki, &controllers))?;
    wait_for_controllers(controllers, control_plane.client().await?)
        .await
        .map(|running| control_plane.controller_manager = Some(running))?;
    Ok(control_plane)
}

/// The controllers create the default service account of a namespace, so its existence shows that they work.
async fn wait_for_controllers(mut controllers: Process, client: kube::Client) -> Result<Process> {
    let accounts: kube::Api<k8s_openapi::api::core::v1::ServiceAccount> = kube::Api::namespaced(client, "default");
    let begin = Instant::now();
    loop {
        controllers.ensure_running()?;
        let account = accounts.get_opt("default").await;
        if account.context("reading the default service account")?.is_some() {
            return Ok(controllers);
        }
        ensure!(
            begin.elapsed() < READY_WITHIN,
            "the controllers created no service account within {READY_WITHIN:?}; end of their log:\n{}",
            tail(controllers.log())
        );
        tokio::time::sleep(POLL).await;
    }
}

/// Whether a port of etcd or the API server was in use: another process can bind it after it was chosen.
fn is_port_taken(data: &Path) -> bool {
    ["etcd", "kube-apiserver"].iter().any(|name| {
        let log = fs::read_to_string(data.join(format!("{name}.log")));
        log.is_ok_and(|log| log.contains("address already in use"))
    })
}

pub(super) fn held(data: &Path, mut program: Program) -> Program {
    program.hold = Some(lock(data));
    program
}

fn started(data: &Path, program: Program) -> Result<Process> {
    held(data, program).start()
}
