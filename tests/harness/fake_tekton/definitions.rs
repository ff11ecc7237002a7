//! Installs the kinds of Tekton and OpenShift on a control plane.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::process::POLL;

/// How long the API server may take until it serves the kinds and enforces the policies.
const SERVED_WITHIN: Duration = Duration::from_secs(60);

/// Server-side, because Tekton's definitions exceed the size limit of the last-applied annotation.
const APPLY: [&str; 4] = ["apply", "--server-side", "--force-conflicts", "-f"];

/// The environment variable that names a file with Tekton's own definitions.
const VARIABLE: &str = "CNBI_TEKTON_CRDS";

/// Whose definitions of Tekton's kinds to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Definitions {
    /// Small fakes with the fields that CNBi uses.
    Fake,
    /// Tekton's own, from a file.
    Tekton(PathBuf),
}

impl Definitions {
    /// Tekton's own if `CNBI_TEKTON_CRDS` names a file, else the fakes.
    pub fn from_env() -> Self {
        match std::env::var_os(VARIABLE) {
            Some(path) if !path.is_empty() => Self::Tekton(path.into()),
            _ => Self::Fake,
        }
    }
}

/// Installs the kinds of Tekton ([`Definitions::from_env`]) and OpenShift, and policies that reject what Tekton's webhook rejects;
/// reports on stderr which definitions are used. Returns when the API server serves the kinds and enforces the policies.
/// Idempotent.
pub async fn install(control_plane: &ControlPlane) -> Result<Definitions> {
    let definitions = Definitions::from_env();
    install_from(control_plane, &definitions).await?;
    Ok(definitions)
}

/// Like [`install`], with definitions that the caller chooses.
pub async fn install_from(control_plane: &ControlPlane, definitions: &Definitions) -> Result<()> {
    match definitions {
        Definitions::Fake => {
            eprintln!("tekton: fake definitions, because {VARIABLE} is not set; webhook and controller are fakes");
            apply(control_plane, &fake_definition("tekton.yaml")).await?;
        }
        Definitions::Tekton(file) => {
            eprintln!(
                "tekton: its own definitions from {}, stored versions only, because no conversion webhook runs; webhook and \
                 controller are fakes",
                file.display()
            );
            ensure!(file.is_file(), "{} does not exist", file.display());
            let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
            let definitions = without_conversion(&text).with_context(|| format!("reading {}", file.display()))?;
            let apply = control_plane
                .kubectl()
                .args(APPLY)
                .arg("-")
                .stdin(definitions.to_string());
            apply.ok().await?;
        }
    }
    install_image_streams(control_plane).await?;
    apply(control_plane, &fake_definition("tekton-admission.yaml")).await?;
    let kinds = ["pipelineruns", "taskruns", "pipelines", "tasks"].map(|kind| format!("{kind}.tekton.dev"));
    until_served(control_plane, &kinds).await?;
    until_enforced(control_plane).await
}

/// Installs the definition of ImageStreams that CNBi ships for clusters without OpenShift, and nothing of Tekton.
pub async fn install_image_streams(control_plane: &ControlPlane) -> Result<()> {
    let definition = crate::installation::shipped::deploy().join("components/imagestream-crd/imagestreams.yaml");
    apply(control_plane, &definition).await?;
    until_served(control_plane, &["imagestreams.image.openshift.io".to_owned()]).await
}

async fn until_served(control_plane: &ControlPlane, kinds: &[String]) -> Result<()> {
    let mut definitions = vec!["customresourcedefinition".to_owned()];
    definitions.extend_from_slice(kinds);
    control_plane.until_established(&definitions).await
}

fn fake_definition(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fakes").join(name)
}

async fn apply(control_plane: &ControlPlane, file: &Path) -> Result<()> {
    control_plane.kubectl().args(APPLY).arg(file).ok().await.map(drop)
}

/// Tekton's definitions without the versions that need its conversion webhook.
///
/// The API server watches the stored objects once for every served version; a conversion webhook that does not respond makes these
/// watches fail forever.
fn without_conversion(text: &str) -> Result<Value> {
    let mut definitions: Vec<Value> = serde_saphyr::from_multiple(text)?;
    definitions.retain(|definition| !definition.is_null());
    for definition in &mut definitions {
        let spec = &mut definition["spec"];
        if spec["conversion"]["strategy"] != "Webhook" {
            continue;
        }
        spec["conversion"] = json!({"strategy": "None"});
        for version in spec["versions"].as_array_mut().into_iter().flatten() {
            version["served"] = version["storage"].clone();
        }
    }
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": definitions}))
}

/// A policy takes effect some time after its creation: repeats a request that it must reject.
async fn until_enforced(control_plane: &ControlPlane) -> Result<()> {
    let too_long = json!({
        "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
        "metadata": {"name": "x".repeat(64), "namespace": "default"},
        "spec": {"pipelineRef": {"name": "none"}},
    });
    let begin = Instant::now();
    loop {
        let create = control_plane.kubectl().args(["create", "--dry-run=server", "-f", "-"]);
        let answer = create.stdin(too_long.to_string()).run().await?;
        if !answer.success && answer.stderr.contains("at most 63 characters") {
            return Ok(());
        }
        ensure!(
            begin.elapsed() < SERVED_WITHIN,
            "the policies are not enforced within {SERVED_WITHIN:?}: {}{}",
            answer.stdout,
            answer.stderr
        );
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_a_webhook_would_convert_are_not_served() {
        let text = "# a comment\n---\n\
            kind: CustomResourceDefinition\n\
            spec:\n  \
              conversion: {strategy: Webhook, webhook: {conversionReviewVersions: [v1]}}\n  \
              versions: [{name: v1beta1, served: true, storage: false}, {name: v1, served: true, storage: true, schema: {a: 1}}]\n\
            ---\n\
            spec: {versions: [{name: v1alpha1, served: true, storage: false}]}\n";
        let wanted = json!([
            {"kind": "CustomResourceDefinition", "spec": {
                "conversion": {"strategy": "None"},
                "versions": [
                    {"name": "v1beta1", "served": false, "storage": false},
                    {"name": "v1", "served": true, "storage": true, "schema": {"a": 1}},
                ],
            }},
            {"spec": {"versions": [{"name": "v1alpha1", "served": true, "storage": false}]}},
        ]);
        assert_eq!(without_conversion(text).unwrap()["items"], wanted);
    }
}
