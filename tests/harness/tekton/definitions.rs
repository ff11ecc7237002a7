//! Puts the kinds of Tekton and OpenShift on a control plane, and says which ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::process::POLL;

/// How long the API server may take until it serves the kinds and asks the policies.
const SERVED_WITHIN: Duration = Duration::from_secs(60);

/// On the server's side, as Tekton's definitions are larger than the annotation that an apply on the client's side keeps.
const APPLY: [&str; 4] = ["apply", "--server-side", "--force-conflicts", "-f"];

/// The environment variable that names a file with Tekton's own definitions.
const VARIABLE: &str = "CNBI_TEKTON_CRDS";

/// Whose definitions of Tekton's kinds to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Definitions {
    /// Our own small ones, with the fields that this project's runs touch.
    StandIns,
    /// Tekton's, from a file.
    Tektons(PathBuf),
}

impl Definitions {
    /// Tekton's where `CNBI_TEKTON_CRDS` names a file, stand-ins where it is not set or empty.
    pub fn from_env() -> Self {
        match std::env::var_os(VARIABLE) {
            Some(path) if !path.is_empty() => Self::Tektons(path.into()),
            _ => Self::StandIns,
        }
    }
}

/// Installs the kinds of Tekton, as [`Definitions::from_env`] says, and of OpenShift; says on stderr which ones.
///
/// With them come policies that refuse what Tekton's webhook would. It is done when the API server serves the kinds and
/// asks the policies. Doing it again changes nothing.
pub async fn install(control_plane: &ControlPlane) -> Result<Definitions> {
    let definitions = Definitions::from_env();
    install_from(control_plane, &definitions).await?;
    Ok(definitions)
}

/// Like [`install`], with definitions that the caller chooses.
pub async fn install_from(control_plane: &ControlPlane, definitions: &Definitions) -> Result<()> {
    match definitions {
        Definitions::StandIns => {
            eprintln!("tekton: stand-ins, as {VARIABLE} names no file; its webhook and controller are played");
            apply(control_plane, &stand_in("tekton.yaml")).await?;
        }
        Definitions::Tektons(file) => {
            eprintln!(
                "tekton: its own definitions from {}, each with its stored version only, as no webhook is there to convert \
                 others; its webhook and controller are played",
                file.display()
            );
            ensure!(file.is_file(), "{} is not there", file.display());
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
    apply(control_plane, &stand_in("tekton-admission.yaml")).await?;
    let kinds = ["pipelineruns", "taskruns", "pipelines", "tasks"].map(|kind| format!("{kind}.tekton.dev"));
    until_served(control_plane, &kinds).await?;
    until_asked(control_plane).await
}

/// Installs the stand-in for OpenShift's ImageStreams, and nothing of Tekton.
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

fn stand_in(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fakes").join(name)
}

async fn apply(control_plane: &ControlPlane, file: &Path) -> Result<()> {
    control_plane.kubectl().args(APPLY).arg(file).ok().await.map(drop)
}

/// Tekton's definitions as they are, but for the versions that its webhook would have to convert.
///
/// Requests for the stored version need no webhook. But the API server watches what is stored once for every version of a
/// kind, and with a webhook that nobody answers it fails and begins again without end. To say that nothing needs
/// converting would be wrong while other versions can be read, so those are not served.
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

/// A policy is in force some time after it is there: until then it is tried what it has to refuse.
async fn until_asked(control_plane: &ControlPlane) -> Result<()> {
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
            "the policies are not asked within {SERVED_WITHIN:?}: {}{}",
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
