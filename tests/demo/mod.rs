//! The tour: what a newcomer sees of CNBi, on a real API server, with real kubectl.
//!
//! Every claim that the tour prints is checked against what kubectl answered; one that does not hold is marked, and the tour
//! then ends with a failure. What stands in for a cluster's nodes is said at the beginning, and what is played, where it is
//! played.

mod admission;
mod builds;
mod images;
mod narrator;
mod operation;
mod played;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use cnbi_tests::control_plane::ControlPlane;
use cnbi_tests::installation::{Installation, Replica, shipped};
use cnbi_tests::tekton::install as install_kinds;

use narrator::Narrator;

/// Namespace of the tour's data scientist.
const NAMESPACE: &str = "data-science";

/// Namespace in which ImageStreams live by default.
const TARGET: &str = "opendatahub";

/// How long a program may take to be ready, and a change to take effect.
const WITHIN: Duration = Duration::from_secs(60);

/// What the chapters work on.
struct Tour<'a> {
    narrator: Narrator<'a>,
    installation: Installation<'a>,
    webhook: Option<Replica>,
}

/// Gives the tour from nothing to its end; `false` when something was not as told.
///
/// # Errors
/// Something could not be started or asked at all.
pub async fn run() -> Result<bool> {
    let mut progress = narrator::Progress::begin();
    progress.step("finding or building the control plane (the first time on a machine takes some minutes)");
    let control_plane = ControlPlane::start().await?;
    progress.step("installing deploy/overlays/default with kubectl");
    let installation = Installation::install(&control_plane, shipped::default(None)).await?;
    progress
        .step("installing Tekton's and OpenShift's kinds, deploy/builds and the Pipelines (make install-pipelines)");
    installation.create_namespace(TARGET).await?;
    install_kinds(&control_plane).await?;
    shipped::install_builds(&control_plane, &[TARGET]).await?;
    progress.step("starting cnbi-webhook and cnbi-controller with their own service accounts' tokens");
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

/// A manifest of the tour, as a path from where `make demo` is called.
fn manifest(name: &str) -> String {
    PathBuf::from("tests/demo/manifests").join(name).display().to_string()
}

/// The text of a manifest of the tour.
fn text(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/manifests").join(name);
    std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}
