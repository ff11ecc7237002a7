//! Installation: manifests, permissions, `make deploy` and `make undeploy`, images, metrics pages, and the test harness itself.

mod apply;
mod control_plane;
mod denied_rights;
mod documents;
mod images;
mod installation;
mod make;
mod manifests;
mod metrics;
mod pod_security;
mod uninstall;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::shipped;
use serde_json::Value;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const WITHIN: Duration = Duration::from_secs(60);

/// The namespace of the overlays.
const NAMESPACE: &str = "cnbi-system";

/// The self-contained overlays.
const OVERLAYS: [&str; 5] = ["default", "cert-manager", "openshift", "odh", "dev"];

fn overlay(name: &str) -> PathBuf {
    shipped::deploy().join("overlays").join(name)
}

async fn rendered(cluster: &ControlPlane, overlay: &Path) -> Outcome<Vec<Value>> {
    let text = cluster.kubectl().args([Path::new("kustomize"), overlay]).ok().await?;
    Ok(serde_saphyr::from_multiple(&text)?)
}

fn one<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects
        .iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("{kind} {name} not found"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Applies a fake definition of third-party kinds.
async fn apply_fake(cluster: &ControlPlane, name: &str) -> Outcome {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fakes").join(name);
    cluster.kubectl().args(["apply", "-f"]).arg(&file).ok().await?;
    cluster.until_established(&["-f".as_ref(), file.as_os_str()]).await?;
    Ok(())
}

/// Runs a target of the Makefile with variables, as a cluster admin.
async fn make(cluster: &ControlPlane, target: &str, variables: &[&str]) -> Outcome<Output> {
    let mut make = tokio::process::Command::new("make");
    make.arg("--directory")
        .arg(shipped::deploy().join(".."))
        .args(["--no-print-directory", target])
        .args(variables)
        .arg(format!("KUBECTL={}", cluster.assets().kubectl().display()))
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("HOME", cluster.data().join("home"))
        .kill_on_drop(true);
    Ok(make.output().await?)
}

/// The same; must succeed, and returns the output.
async fn made(cluster: &ControlPlane, target: &str, variables: &[&str]) -> Outcome<String> {
    let output = make(cluster, target, variables).await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(said);
    }
    Err(format!("make {target} {variables:?}: {}\n{said}\n{errors}", output.status).into())
}
