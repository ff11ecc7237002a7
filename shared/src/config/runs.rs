//! The sections for PipelineRuns.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Period, PodTemplate};

/// The value of `pipelines.runNamespace` for runs in the namespace of the resource.
pub const OWN_NAMESPACE: &str = "Own";

/// `pipelines`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Pipelines {
    /// The build namespace, in which PipelineRuns are created; `Own`: the namespace of the resource.
    pub run_namespace: String,
    /// Maximum number of concurrent builds.
    pub max_concurrent: MaxConcurrent,
    /// Service accounts of the tasks.
    pub service_accounts: ServiceAccounts,
    /// Timeouts of a PipelineRun.
    pub timeouts: Timeouts,
    /// Compute resources of the tasks.
    pub resources: TaskResources,
    /// Volume of a PipelineRun.
    pub workspace: Workspace,
    /// Settings for the pods of all tasks.
    pub pod_template: PodTemplate,
}

impl Default for Pipelines {
    fn default() -> Self {
        Self {
            run_namespace: "cnbi-builds".to_owned(),
            max_concurrent: MaxConcurrent::default(),
            service_accounts: ServiceAccounts::default(),
            timeouts: Timeouts::default(),
            resources: TaskResources::default(),
            workspace: Workspace::default(),
            pod_template: PodTemplate::default(),
        }
    }
}

/// `pipelines.maxConcurrent`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MaxConcurrent {
    /// In the whole cluster.
    pub total: u32,
    /// For the resources of one namespace.
    pub per_namespace: u32,
}

impl Default for MaxConcurrent {
    fn default() -> Self {
        Self {
            total: 20,
            per_namespace: 5,
        }
    }
}

/// `pipelines.serviceAccounts`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ServiceAccounts {
    /// For tasks that run only programs of CNBi.
    pub trusted: String,
    /// For tasks that run user code. It must have no permissions and no Secrets.
    pub untrusted: String,
}

impl Default for ServiceAccounts {
    fn default() -> Self {
        Self {
            trusted: "cnbi-trusted".to_owned(),
            untrusted: "cnbi-untrusted".to_owned(),
        }
    }
}

/// `pipelines.timeouts`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Timeouts {
    /// For all tasks except the finally task.
    pub tasks: Period,
    /// For the finally task, which updates the ImageStream.
    pub finally: Period,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tasks: Period::seconds(55 * 60),
            finally: Period::seconds(5 * 60),
        }
    }
}

/// `pipelines.resources`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TaskResources {
    /// Of each task that runs only programs of CNBi.
    pub trusted: Resources,
    /// Of each task that runs user code.
    pub untrusted: Resources,
}

/// Kubernetes requests and limits: `{requests: {cpu: 500m}, limits: {memory: 4Gi}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Resources {
    /// Resource requests.
    pub requests: BTreeMap<String, String>,
    /// Resource limits.
    pub limits: BTreeMap<String, String>,
}

/// `pipelines.workspace`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Workspace {
    /// Size of the volume that the tasks of a run share.
    pub size: String,
    /// StorageClass. Empty: the default of the cluster.
    pub storage_class: String,
}

impl Default for Workspace {
    fn default() -> Self {
        Self {
            size: "10Gi".to_owned(),
            storage_class: String::new(),
        }
    }
}

/// `retry`: retries after temporary failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retry {
    /// Maximum number of PipelineRuns for one generation.
    pub limit: u32,
    /// Delay before the second run; doubled for each further run.
    pub base: Period,
    /// Maximum delay.
    pub max: Period,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            limit: 5,
            base: Period::seconds(30),
            max: Period::seconds(15 * 60),
        }
    }
}

/// `history`: number of finished PipelineRuns to keep per resource. The latest is always kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct History {
    /// Number of successful runs to keep.
    pub succeeded: u32,
    /// Number of failed runs to keep.
    pub failed: u32,
}

impl Default for History {
    fn default() -> Self {
        Self {
            succeeded: 1,
            failed: 3,
        }
    }
}

/// `imageStream`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ImageStream {
    /// What happens to the ImageStream when its resource is deleted: `Delete` or `Retain`.
    #[schemars(with = "String")]
    pub deletion_policy: DeletionPolicy,
}

/// `imageStream.deletionPolicy`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It is deleted.
    #[default]
    Delete,
    /// It is kept.
    Retain,
}

/// `pullSecrets`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PullSecrets {
    /// Whether the entry of the pull secret for an imported image is copied to the target namespace, so that OpenShift can import the image
    /// there.
    pub copy_to_target: bool,
}

impl Pipelines {
    /// The build namespace of a resource in namespace `own`.
    pub fn run_namespace_for<'a>(&'a self, own: &'a str) -> &'a str {
        if self.run_namespace == OWN_NAMESPACE {
            own
        } else {
            &self.run_namespace
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    use super::*;

    #[test]
    fn defaults_are_valid_and_as_documented() {
        let config = Config::from_yaml("").unwrap();
        assert_eq!(config.pipelines.run_namespace_for("team-a"), "cnbi-builds");
        assert_eq!(config.pipelines.timeouts.tasks.to_string(), "0h55m0s");
        assert_eq!((config.history.succeeded, config.history.failed), (1, 3));
        assert_eq!(config.image_stream.deletion_policy, DeletionPolicy::Delete);
        assert!(!config.pull_secrets.copy_to_target);
    }

    #[test]
    fn own_is_the_namespace_of_the_resource() {
        let config = Config::from_yaml("pipelines: {runNamespace: Own}").unwrap();
        assert_eq!(config.pipelines.run_namespace_for("team-a"), "team-a");
    }
}
