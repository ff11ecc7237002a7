//! A cluster with webhook, controller and the fake Tekton.

use std::path::Path;
use std::time::{Duration, Instant};

use cnbi_tests::installation::{Installation, Replica};
use cnbi_tests::kubectl::Kubectl;
use cnbi_tests::process::binary;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::cluster::{Cluster, Result, TestNamespace, WITHIN};

/// The installation that all tests of this process share.
pub struct RunningCluster {
    pub cluster: &'static Cluster,
    installation: Installation<'static>,
    _replicas: Vec<Replica>,
}

impl RunningCluster {
    pub async fn shared() -> Result<&'static Self> {
        static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
        static SHARED: OnceCell<RunningCluster> = OnceCell::const_new();
        let told = |error: Box<dyn std::error::Error>| anyhow::Error::msg(error.to_string());
        let cluster = CLUSTER
            .get_or_try_init(|| async { Cluster::whole().await.map_err(told) })
            .await?;
        let running = SHARED
            .get_or_try_init(|| async {
                let installation = cluster.install().await.map_err(told)?;
                let replicas = installation.start_all(WITHIN).await?;
                Ok::<_, anyhow::Error>(RunningCluster {
                    cluster,
                    installation,
                    _replicas: replicas,
                })
            })
            .await?;
        Ok(running)
    }

    /// A namespace for one test, with the admission webhook.
    pub async fn test_ns(&self, namespace: &str) -> Result<TestNamespace> {
        self.installation.create_namespace(namespace).await?;
        let client = self.cluster.control_plane.client().await?;
        let test_ns = TestNamespace {
            client,
            namespace: namespace.to_owned(),
        };
        let probe = resource(
            namespace,
            "probe",
            &json!({"buildType": "ImageImport", "fromImage": "quay.io/a/b"}),
        );
        let begin = Instant::now();
        loop {
            let create = self.kubectl(namespace).args(["create", "--dry-run=server", "-f", "-"]);
            let answer = create.stdin(probe.to_string()).run().await?;
            if answer.stderr.contains("CNB103") {
                return Ok(test_ns);
            }
            if begin.elapsed() > WITHIN {
                return Err(format!("the webhook is not called: {}", answer.stderr).into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub fn kubectl(&self, namespace: &str) -> Kubectl {
        self.cluster.control_plane.kubectl().args(["-n", namespace])
    }

    /// kubectl with the plugin and its completion in PATH.
    pub fn with_plugin(&self, folder: &Path) -> Result<Kubectl> {
        let program = binary("kubectl-cnbi")?;
        let link = folder.join("kubectl-cnbi");
        if !link.exists() {
            std::os::unix::fs::symlink(&program, &link)?;
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", folder.display());
        Ok(self.cluster.control_plane.kubectl().env("PATH", &path))
    }

    /// Waits until the new configuration is active.
    pub async fn until_answered(&self, namespace: &str, object: &Value, is_wanted: impl Fn(&str) -> bool) -> Result {
        let begin = Instant::now();
        loop {
            let create = self.kubectl(namespace).args(["create", "--dry-run=server", "-f", "-"]);
            let answer = create.stdin(object.to_string()).run().await?;
            let told = answer.stdout + &answer.stderr;
            if is_wanted(&told) {
                return Ok(());
            }
            if begin.elapsed() > WITHIN {
                return Err(format!("not as wanted: {told}").into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A manifest without the defaults from admission.
pub fn resource(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "meteor.zone/v1alpha1", "kind": "CustomNBImage",
        "metadata": {"name": name, "namespace": namespace, "annotations": {
            "opendatahub.io/notebook-image-desc": "For the tests.",
        }},
        "spec": spec,
    })
}
