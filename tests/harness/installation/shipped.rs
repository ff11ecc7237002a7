//! The manifests of this project, for [`Installation::install`](super::Installation::install).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use super::Options;
use crate::control_plane::ControlPlane;

/// The container of the webhook.
pub const WEBHOOK: &str = "cnbi-webhook";

/// The container of the controller.
pub const CONTROLLER: &str = "cnbi-controller";

/// `deploy/overlays/default`, unchanged, or with a name for several on one control plane.
pub fn default(name: Option<&str>) -> Options {
    let names = [
        ("--mutating-configuration", "MutatingWebhookConfiguration"),
        ("--validating-configuration", "ValidatingWebhookConfiguration"),
    ];
    Options {
        tree: deploy(),
        overlay: PathBuf::from("overlays/default"),
        name: name.map(str::to_owned),
        names: names.map(|(flag, kind)| (flag.to_owned(), kind.to_owned())).into(),
        flags: BTreeMap::new(),
        programs: BTreeMap::new(),
    }
}

/// The folder with the manifests that an admin applies.
pub fn deploy() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).join("deploy")
}

/// The additional manifests: the build namespace with the controller's permissions there, and the Pipelines with permission to
/// publish to `targets`, by `make install-pipelines`. The target namespaces and Tekton's kinds must exist.
pub async fn install_builds(control_plane: &ControlPlane, targets: &[&str]) -> Result<()> {
    let builds = control_plane
        .kubectl()
        .args(["apply", "-k"])
        .arg(deploy().join("builds"));
    builds.ok().await?;
    let kubectl = control_plane.kubectl().into_command();
    let mut make = Command::new("make");
    make.args(["--no-print-directory", "install-pipelines"])
        .current_dir(deploy().join(".."))
        .env("TARGETS", targets.join(" "))
        .env("KUBECTL", kubectl.as_std().get_program())
        .env("KUBECONFIG", control_plane.kubeconfig());
    let ended = make.output().await.context("starting make")?;
    ensure!(
        ended.status.success(),
        "make install-pipelines: {}",
        String::from_utf8_lossy(&ended.stderr).trim()
    );
    Ok(())
}
