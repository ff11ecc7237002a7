//! The sections about runs: where they are made, how many, with what, and what is kept of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Period, PodTemplate};

/// The value of `pipelines.runNamespace` that puts runs beside their resources.
pub const OWN: &str = "Own";

/// `pipelines`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Pipelines {
    /// The namespace that runs are made in; `Own`: that of the resource.
    pub run_namespace: String,
    /// How many runs may be under way at once.
    pub max_concurrent: MaxConcurrent,
    /// The service accounts of the tasks.
    pub service_accounts: ServiceAccounts,
    /// How long a run may take.
    pub timeouts: Timeouts,
    /// Compute resources of the tasks.
    pub resources: TaskResources,
    /// The volume of a run.
    pub workspace: Workspace,
    /// Where and how the pods of all tasks run.
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
    /// For the tasks that run our own programs only.
    pub trusted: String,
    /// For the tasks that run what a user wrote. It must have no rights and no Secrets.
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
    /// For all tasks but the last together.
    pub tasks: Period,
    /// For the task at the end, which tells the ImageStream what came of the run.
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
    /// Of each task that runs our own programs only.
    pub trusted: Resources,
    /// Of each task that runs what a user wrote.
    pub untrusted: Resources,
}

/// Requests and limits, as Kubernetes has them: `{requests: {cpu: 500m}, limits: {memory: 4Gi}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Resources {
    /// What the node must have free.
    pub requests: BTreeMap<String, String>,
    /// What may be used at most.
    pub limits: BTreeMap<String, String>,
}

/// `pipelines.workspace`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Workspace {
    /// Size of the volume that a run's tasks share.
    pub size: String,
    /// Its StorageClass. Empty: the cluster's default.
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

/// `retry`: what happens after a failure that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retry {
    /// How many runs are made for one request before it is given up.
    pub limit: u32,
    /// The wait before the second run; doubled with each further one.
    pub base: Period,
    /// The longest wait.
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

/// `history`: how many runs that have ended are kept of each resource. The latest is kept always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct History {
    /// Of those that succeeded.
    pub succeeded: u32,
    /// Of those that did not.
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
    /// What becomes of the ImageStream when its resource is deleted: `Delete` or `Retain`.
    #[schemars(with = "String")]
    pub deletion_policy: DeletionPolicy,
}

/// `imageStream.deletionPolicy`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It goes too.
    #[default]
    Delete,
    /// It stays.
    Retain,
}

/// `pullSecrets`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PullSecrets {
    /// Whether the entry for an imported image's registry is copied to the target namespace, so that OpenShift can import
    /// it there.
    pub copy_to_target: bool,
}

impl Pipelines {
    /// The namespace of the runs of a resource in namespace `own`.
    pub fn namespace_of_runs<'a>(&'a self, own: &'a str) -> &'a str {
        if self.run_namespace == OWN {
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
    fn defaults_are_as_documented_and_pass() {
        let config = Config::from_yaml("").unwrap();
        assert_eq!(config.pipelines.namespace_of_runs("team-a"), "cnbi-builds");
        assert_eq!(config.pipelines.timeouts.tasks.to_string(), "0h55m0s");
        assert_eq!((config.history.succeeded, config.history.failed), (1, 3));
        assert_eq!(config.image_stream.deletion_policy, DeletionPolicy::Delete);
        assert!(!config.pull_secrets.copy_to_target);
    }

    #[test]
    fn own_means_the_resources_namespace() {
        let config = Config::from_yaml("pipelines: {runNamespace: Own}").unwrap();
        assert_eq!(config.pipelines.namespace_of_runs("team-a"), "team-a");
    }
}
