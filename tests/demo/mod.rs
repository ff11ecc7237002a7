//! `make demo`: CNBi on a real API server, shown with kubectl.
//!
//! Every statement with a check mark is verified against kubectl's output; the demo fails if one is wrong. The output says at the
//! start what replaces the nodes of a cluster, and in each section what is simulated.

mod admission;
mod builds;
mod fake_runs;
mod images;
mod narrator;
mod operation;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::fake_tekton::install as install_kinds;
use cnbi_tests::installation::{Installation, Replica, shipped};

use narrator::Narrator;

/// The data scientist's namespace.
const NAMESPACE: &str = "data-science";

/// The target namespace: ImageStreams are created here.
const TARGET: &str = "opendatahub";

/// Timeout for a program to become ready and for a change to take effect.
const WITHIN: Duration = Duration::from_secs(60);

/// The state that the sections share.
struct Tour<'a> {
    narrator: Narrator<'a>,
    installation: Installation<'a>,
    webhook: Option<Replica>,
}

/// Runs the whole demo. Returns `false` if a statement was wrong.
///
/// # Errors
/// A program could not be started, or kubectl could not be run.
pub async fn run() -> Result<bool> {
    let mut progress = narrator::Progress::begin();
    progress.step("finding or building the control plane (takes some minutes the first time)");
    let control_plane = ControlPlane::start().await?;
    progress.step("installing deploy/overlays/default with kubectl");
    let installation = Installation::install(&control_plane, shipped::default(None)).await?;
    progress
        .step("installing the kinds of Tekton and OpenShift, deploy/builds and the Pipelines (make install-pipelines)");
    installation.create_namespace(TARGET).await?;
    install_kinds(&control_plane).await?;
    shipped::install_builds(&control_plane, &[TARGET]).await?;
    progress.step("starting cnbi-webhook and cnbi-controller with the tokens of their service accounts");
    let mut webhook = installation.start(shipped::WEBHOOK).await?;
    let mut controller = installation.start(shipped::CONTROLLER).await?;
    webhook.ready(WITHIN).await?;
    controller.ready(WITHIN).await?;
    installation.create_namespace(NAMESPACE).await?;
    progress.end();

    let mut tour = Tour {
        narrator: Narrator::new(&control_plane),
        installation,
        webhook: Some(webhook),
    };
    admission::chapters(&mut tour).await?;
    builds::chapters(&mut tour, &control_plane).await?;
    images::chapters(&mut tour, &control_plane).await?;
    operation::chapters(&mut tour, &control_plane).await?;
    Ok(tour.narrator.end())
}

/// The path of a manifest, relative to the repository.
fn manifest(name: &str) -> String {
    PathBuf::from("tests/demo/manifests").join(name).display().to_string()
}

/// The text of a manifest.
fn text(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/manifests").join(name);
    std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}
