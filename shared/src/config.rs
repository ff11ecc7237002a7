//! The configuration: the key `config.yaml` of the ConfigMap `cnbi-config`, read by the webhook, the controller and the offline check.
//!
//! Every key has a default. Unknown keys are rejected, so that a typing error cannot silently disable a policy.

mod builder;
mod check;
mod period;
mod pods;
mod runs;
mod tasks;
mod tracking;

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use period::{Period, PeriodError};
pub use pods::{PodTemplate, Verbatim};
pub use runs::{
    DeletionPolicy, History, ImageStream, MaxConcurrent, OWN_NAMESPACE, Pipelines, PullSecrets, Resources, Retry,
    ServiceAccounts, TaskResources, Timeouts, Workspace,
};
pub use tasks::{
    BuildSettings, INTERNAL_REGISTRY, Isolation, Network, Python, Registry, Sbom, SbomFormat, SignaturePolicy,
    Signatures, Source, StorageDriver,
};
pub use tracking::Tracking;

use crate::render::capped;
use crate::rules::Rule;
use crate::verdict::{Level, escaped};

/// Key of the configuration in the data of the ConfigMap.
pub const KEY: &str = "config.yaml";

/// The configuration of the default installation, as YAML.
pub const SHIPPED: &str = include_str!("shipped.yaml");

/// The configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Namespaces of the ImageStreams.
    pub target_namespace: TargetNamespace,
    /// Levels of rules by id: `Deny`, `Warn` or `Off`, for example `{CNB104: Deny}`. See [rules](rules/README.md).
    #[schemars(with = "BTreeMap<String, String>")]
    pub rules: BTreeMap<String, Level>,
    /// Which images may be used.
    pub images: Images,
    /// The catalog for `spec.runtimeEnvironment`. Empty: resources must set `builderImage`.
    pub runtime_environments: Vec<CatalogEntry>,
    /// Which Git repositories may be built.
    pub repositories: Repositories,
    /// Access to Git hosts.
    pub git: Git,
    /// PipelineRuns.
    pub pipelines: Pipelines,
    /// Retries after temporary failures.
    pub retry: Retry,
    /// Number of finished PipelineRuns to keep.
    pub history: History,
    /// ImageStreams.
    pub image_stream: ImageStream,
    /// Pull secrets.
    pub pull_secrets: PullSecrets,
    /// Signature verification of imported images and base images.
    pub signatures: Signatures,
    /// Python package indexes.
    pub python: Python,
    /// Network access of the tasks.
    pub network: Network,
    /// Storage of sources.
    pub source: Source,
    /// Registry for built images.
    pub registry: Registry,
    /// Build settings.
    pub build: BuildSettings,
    /// Software bill of materials.
    pub sbom: Sbom,
    /// Tracking of imported tags.
    pub tracking: Tracking,
}

/// `targetNamespace`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TargetNamespace {
    /// The target namespace of a resource that names none. Empty: the namespace of the resource.
    pub default: String,
    /// Additional target namespaces.
    pub allowed: Vec<AllowedTarget>,
}

/// One entry of `targetNamespace.allowed`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedTarget {
    /// The target namespace.
    pub namespace: String,
    /// Namespaces whose resources may use it; `*` for all namespaces.
    pub from: Vec<String>,
}

/// `images`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Images {
    /// Allowed registries (`quay.io`, `registry.example.com:5000`) or repository prefixes (`quay.io/thoth-station`, whole path segments);
    /// Docker Hub is `docker.io`. Empty: all.
    pub allowed: Vec<String>,
}

/// One runtime environment of the catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatalogEntry {
    /// Operating system, for example `ubi`.
    pub os_name: String,
    /// Version of the operating system in quotes, for example `"9"`.
    pub os_version: String,
    /// Python version in quotes, for example `"3.11"`.
    pub python_version: String,
    /// The image for this environment, with a tag or digest.
    pub builder_image: String,
}

/// `repositories`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Repositories {
    /// Allowed Git hosts (`github.com`, `git.example.com:8443`); an entry without a port allows every port. Empty: all public https hosts, and
    /// the hosts in `git.credentials`.
    pub allowed: Vec<String>,
    /// The base image for repositories without a Containerfile whose resource has no `builderImage`; with a tag or digest. Empty: the image
    /// of the runtime environment with the newest Python version.
    pub builder_image: String,
}

/// `git`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Git {
    /// Credentials for Git hosts, one entry per host.
    pub credentials: Vec<GitCredential>,
}

/// One entry of `git.credentials`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitCredential {
    /// The Git host as in the clone URL, with an optional port.
    pub host: String,
    /// Name of the Secret with the credentials, in the build namespace.
    pub secret: String,
}

/// Maximum number of items of a list.
const MAX_LIST_ITEMS: usize = 1000;
/// Maximum size of a configuration in bytes: the size limit of a ConfigMap.
const MAX_BYTES: usize = 1 << 20;

/// One problem of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A path such as `images.allowed[1]`, or line and column for a syntax error.
    pub location: String,
    /// The problem and how to fix it, on one line and safe to print.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.location, self.message)
    }
}

/// Why a configuration is rejected: at least one problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<Problem>);

impl ConfigError {
    /// All problems. A syntax error is the only problem that is reported.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for ConfigError {
    /// On one line.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&capped(self.0.iter().map(Problem::to_string)).join("; "))
    }
}

impl std::error::Error for ConfigError {}

fn syntax(error: &serde_saphyr::Error) -> Problem {
    let error = error.without_snippet();
    let location = error.location().map(|at| (at.line(), at.column()));
    let (location, end) = match location {
        Some((line, column)) => (
            format!("line {line}, column {column}"),
            format!(" at line {line}, column {column}"),
        ),
        None => (KEY.to_owned(), String::new()),
    };
    let text = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let text = text.strip_suffix(end.as_str()).unwrap_or(&text);
    // Replace the names of parser events.
    let text = match text {
        "expected mapping start" => "expected keys and values, `key: value`",
        "expected sequence start" => "expected a list, `[a, b]` or items that each begin with `- `",
        "expected string scalar" => "expected text",
        text => text,
    };
    Problem {
        location,
        message: escaped(text, 1000),
    }
}

impl Config {
    /// Parses and validates a configuration. An empty text is the default configuration.
    ///
    /// # Errors
    /// A syntax error, or all problems of its values.
    pub fn from_yaml(yaml: &str) -> Result<Self, ConfigError> {
        if yaml.len() > MAX_BYTES {
            let message = format!("has {} bytes; at most {MAX_BYTES} are allowed", yaml.len());
            let location = KEY.to_owned();
            return Err(ConfigError(vec![Problem { location, message }]));
        }
        let config: Option<Self> = serde_saphyr::from_str(yaml).map_err(|error| ConfigError(vec![syntax(&error)]))?;
        let config = config.unwrap_or_default();
        let problems = check::check(&config);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(problems))
        }
    }

    /// The configuration of the default installation.
    ///
    /// # Panics
    /// Never: a test reads it.
    pub fn shipped() -> Self {
        Self::from_yaml(SHIPPED).expect("a test reads the shipped configuration")
    }

    /// The configured level of a rule.
    pub fn level(&self, rule: &Rule) -> Level {
        if rule.is_fixed {
            Level::Deny
        } else {
            self.rules.get(rule.id).copied().unwrap_or(rule.level)
        }
    }

    /// The target namespace of a resource that names none. `own` is the namespace of the resource, if known.
    pub fn default_target<'a>(&'a self, own: Option<&'a str>) -> Option<&'a str> {
        if self.target_namespace.default.is_empty() {
            own
        } else {
            Some(&self.target_namespace.default)
        }
    }

    /// Whether resources in namespace `from` may use the target namespace `target`.
    pub fn allows_target(&self, target: &str, from: Option<&str>) -> bool {
        self.default_target(from) == Some(target)
            || self.target_namespace.allowed.iter().any(|allowed| {
                allowed.namespace == target
                    && allowed
                        .from
                        .iter()
                        .any(|source| source == "*" || Some(source.as_str()) == from)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_and_levels_of_fixed_rules_are_rejected() {
        assert!(
            Config::from_yaml("targetNamespcae: {default: x}")
                .unwrap_err()
                .to_string()
                .contains("targetNamespcae")
        );
        let error = Config::from_yaml("rules: {CNB101: Warn}").unwrap_err().to_string();
        assert!(error.starts_with("rules.CNB101: "), "{error}");
        let error = Config::from_yaml("rules: {CNB999: Warn}").unwrap_err().to_string();
        assert!(error.starts_with("rules.CNB999: "), "{error}");
    }

    #[test]
    fn empty_text_is_the_default() {
        assert_eq!(Config::from_yaml("").unwrap(), Config::default());
    }

    #[test]
    fn target_namespaces_are_allowed_per_source_namespace() {
        let config = Config::from_yaml(
            "targetNamespace: {default: opendatahub, allowed: [{namespace: gpu, from: [team-a]}, {namespace: all, from: ['*']}]}",
        )
        .unwrap();
        assert!(config.allows_target("opendatahub", Some("anyone")));
        assert!(config.allows_target("gpu", Some("team-a")));
        assert!(!config.allows_target("gpu", Some("team-b")));
        assert!(config.allows_target("all", None));
    }
}
