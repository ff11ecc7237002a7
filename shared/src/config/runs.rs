//! The sections about runs: where they are made, how many, with what, and what is kept of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Period, PodTemplate, Problem};
use crate::grammar::dns;
use crate::verdict::printable;

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

    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let Self {
            run_namespace,
            max_concurrent,
            service_accounts,
            timeouts,
            resources,
            workspace,
            pod_template,
        } = self;
        if run_namespace != OWN {
            named(problems, dns::label(run_namespace), "pipelines.runNamespace");
        }
        positive(problems, max_concurrent.total, "pipelines.maxConcurrent.total");
        positive(
            problems,
            max_concurrent.per_namespace,
            "pipelines.maxConcurrent.perNamespace",
        );
        let ServiceAccounts { trusted, untrusted } = service_accounts;
        named(problems, dns::subdomain(trusted), "pipelines.serviceAccounts.trusted");
        named(
            problems,
            dns::subdomain(untrusted),
            "pipelines.serviceAccounts.untrusted",
        );
        if trusted == untrusted {
            wrong(
                problems,
                "pipelines.serviceAccounts.untrusted",
                "must be another account than the trusted one: it runs what users wrote",
            );
        }
        positive(problems, timeouts.tasks.as_seconds(), "pipelines.timeouts.tasks");
        positive(problems, timeouts.finally.as_seconds(), "pipelines.timeouts.finally");
        if timeouts.tasks.plus(timeouts.finally).is_none() {
            wrong(problems, "pipelines.timeouts.tasks", "is too long");
        }
        for (sort, Resources { requests, limits }) in
            [("trusted", &resources.trusted), ("untrusted", &resources.untrusted)]
        {
            for (kind, quantities) in [("requests", requests), ("limits", limits)] {
                for (resource, text) in quantities {
                    quantity(
                        problems,
                        text,
                        &format!("pipelines.resources.{sort}.{kind}.{}", printable(resource, 80)),
                    );
                }
            }
        }
        quantity(problems, &workspace.size, "pipelines.workspace.size");
        if !workspace.storage_class.is_empty() {
            named(
                problems,
                dns::subdomain(&workspace.storage_class),
                "pipelines.workspace.storageClass",
            );
        }
        pod_template.check(problems);
    }
}

impl Retry {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        positive(problems, self.limit, "retry.limit");
        positive(problems, self.base.as_seconds(), "retry.base");
        if self.max < self.base {
            wrong(problems, "retry.max", "is shorter than retry.base");
        }
    }
}

pub(super) fn wrong(problems: &mut Vec<Problem>, place: &str, message: impl Into<String>) {
    problems.push(Problem {
        place: place.to_owned(),
        message: message.into(),
    });
}

pub(super) fn named(problems: &mut Vec<Problem>, name: Result<(), dns::NameError>, place: &str) {
    if let Err(error) = name {
        wrong(problems, place, format!("the name {error}"));
    }
}

fn positive(problems: &mut Vec<Problem>, number: u32, place: &str) {
    if number == 0 {
        wrong(problems, place, "must be more than zero");
    }
}

/// A positive Kubernetes quantity without exponent: digits, perhaps a fraction, and perhaps a suffix.
fn quantity(problems: &mut Vec<Problem>, text: &str, place: &str) {
    const SUFFIXES: [&str; 13] = ["", "m", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_positive = number.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    if !(digits(whole) && digits(fraction) && is_positive && SUFFIXES.contains(&suffix)) {
        wrong(
            problems,
            place,
            "write a quantity of Kubernetes, such as 500m, 2 or 10Gi, in quotes where it is a number",
        );
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

    #[test]
    fn what_cannot_work_is_refused_by_its_path() {
        for (yaml, path) in [
            ("pipelines: {runNamespace: own!}", "pipelines.runNamespace"),
            ("pipelines: {runNamespace: ''}", "pipelines.runNamespace"),
            (
                "pipelines: {maxConcurrent: {total: 0}}",
                "pipelines.maxConcurrent.total",
            ),
            (
                "pipelines: {maxConcurrent: {perNamespace: 0}}",
                "pipelines.maxConcurrent.perNamespace",
            ),
            (
                "pipelines: {serviceAccounts: {trusted: A}}",
                "pipelines.serviceAccounts.trusted",
            ),
            (
                "pipelines: {serviceAccounts: {untrusted: cnbi-trusted}}",
                "pipelines.serviceAccounts.untrusted",
            ),
            ("pipelines: {timeouts: {tasks: 0s}}", "pipelines.timeouts.tasks"),
            ("pipelines: {timeouts: {finally: 0s}}", "pipelines.timeouts.finally"),
            (
                "pipelines: {timeouts: {tasks: 1193046h, finally: 1h}}",
                "pipelines.timeouts.tasks",
            ),
            (
                "pipelines: {resources: {untrusted: {limits: {memory: lots}}}}",
                "pipelines.resources.untrusted.limits.memory",
            ),
            ("pipelines: {workspace: {size: 0Gi}}", "pipelines.workspace.size"),
            ("pipelines: {workspace: {size: 1e3}}", "pipelines.workspace.size"),
            (
                "pipelines: {workspace: {storageClass: A}}",
                "pipelines.workspace.storageClass",
            ),
            ("retry: {limit: 0}", "retry.limit"),
            ("retry: {base: 0s}", "retry.base"),
            ("retry: {base: 10m, max: 1m}", "retry.max"),
        ] {
            let error = Config::from_yaml(yaml).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{path}: ")), "{yaml}: {error}");
        }
        assert!(
            Config::from_yaml("retry: {base: soon}")
                .unwrap_err()
                .to_string()
                .contains("such as 90s")
        );
    }
}
