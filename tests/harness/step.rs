//! Runs the real `cnbi-step imagestream` as the Pipelines do: as a process instead of a pod, with a token of the same service
//! account.

use anyhow::{Context as _, Result};
use cnbi_shared::contract::{params, results};
use serde_json::Value;
use tokio::process::Command;

use crate::control_plane::ControlPlane;
use crate::process::binary;

/// The service account of steps that run only CNBi's programs.
const TRUSTED: &str = "cnbi-trusted";

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whether it succeeded.
    pub success: bool,
    /// Result `reason`; empty after success.
    pub reason: String,
    /// Result `message`.
    pub message: String,
}

/// Runs `cnbi-step imagestream create` or `update` with the parameters of a run, as its service account in the run's namespace.
/// The run may have been deleted in the meantime.
///
/// # Errors
/// The run lacks parameters, or the program cannot be started.
pub async fn image_stream(control_plane: &ControlPlane, run: &Value, verb: &str) -> Result<Ended> {
    let given = |name: &str| {
        let mut params = run["spec"]["params"].as_array().into_iter().flatten();
        params
            .find(|param| param["name"] == name)
            .map(|param| param["value"].clone())
            .with_context(|| format!("the run has no parameter {name}"))
    };
    let metadata = |key: &str| {
        run["metadata"][key]
            .as_str()
            .with_context(|| format!("the run has no {key}"))
    };
    let kubeconfig = control_plane
        .service_account_kubeconfig(metadata("namespace")?, TRUSTED)
        .await?;
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(binary("cnbi-step")?);
    command
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .arg("--results")
        .arg(folder.path())
        .args(["imagestream", verb]);
    for name in [
        params::NAMESPACE,
        params::NAME,
        params::UID,
        params::GENERATION,
        params::TARGET,
        params::TAG,
    ] {
        let value = given(name)?;
        command.arg(format!("--{name}={}", value.as_str().unwrap_or_default()));
    }
    command.arg(format!("--run={}", metadata("name")?));
    for name in [params::REQUEST, params::SETTINGS] {
        if name == params::REQUEST || verb == "update" {
            let value = given(name)?;
            let items = value.as_array().into_iter().flatten().filter_map(Value::as_str);
            command.arg(format!("--{name}")).args(items);
        }
    }
    let ended = command.output().await?;
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    Ok(Ended {
        success: ended.status.success(),
        reason: read(results::REASON),
        message: read(results::MESSAGE),
    })
}
