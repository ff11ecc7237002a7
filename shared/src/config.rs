//! The admin's policy: one typed structure with a default for everything, read by webhook, controller and offline check
//! alike from the key `config.yaml` of the ConfigMap `cnbi-config`.
//!
//! Unknown keys are refused, so that a slip in a policy is seen when it is written and not when it fails to protect.

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
pub use pods::{As, PodTemplate};
pub use runs::{
    DeletionPolicy, History, ImageStream, MaxConcurrent, OWN, Pipelines, PullSecrets, Resources, Retry,
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

/// Key of the ConfigMap's data that holds the configuration.
pub const KEY: &str = "config.yaml";

/// The configuration that CNBi is installed with, as text.
pub const SHIPPED: &str = include_str!("shipped.yaml");

/// Everything that an admin can decide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Where ImageStreams live.
    pub target_namespace: TargetNamespace,
    /// Levels other than the rules' own, by rule id: `Deny`, `Warn` or `Off`, as in `{CNB104: Deny}`. See [rules](rules/README.md).
    #[schemars(with = "BTreeMap<String, String>")]
    pub rules: BTreeMap<String, Level>,
    /// Which images may be used.
    pub images: Images,
    /// The catalog behind `spec.runtimeEnvironment`. Empty: none can be asked for.
    pub runtime_environments: Vec<CatalogEntry>,
    /// Which Git repositories may be built.
    pub repositories: Repositories,
    /// Access to Git hosts.
    pub git: Git,
    /// How runs are made.
    pub pipelines: Pipelines,
    /// What happens after a failure that may pass.
    pub retry: Retry,
    /// How many ended runs are kept.
    pub history: History,
    /// The ImageStreams.
    pub image_stream: ImageStream,
    /// Pull Secrets.
    pub pull_secrets: PullSecrets,
    /// What is asked of images that others made.
    pub signatures: Signatures,
    /// Where Python packages come from.
    pub python: Python,
    /// How tasks reach what is outside.
    pub network: Network,
    /// Where source is kept.
    pub source: Source,
    /// Where built images are pushed.
    pub registry: Registry,
    /// How images are built.
    pub build: BuildSettings,
    /// The list of what is in an image that was built.
    pub sbom: Sbom,
    /// Tags that come to name other images.
    pub tracking: Tracking,
}

/// `targetNamespace`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TargetNamespace {
    /// The target namespace of a resource that names none. Empty: the resource's own namespace.
    pub default: String,
    /// Further target namespaces that a resource may name.
    pub allowed: Vec<AllowedTarget>,
}

/// One entry of `targetNamespace.allowed`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedTarget {
    /// The target namespace.
    pub namespace: String,
    /// Namespaces of the resources that may use it; `*` stands for every namespace.
    pub from: Vec<String>,
}

/// `images`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Images {
    /// Registries (`quay.io`, `registry.example.com:5000`) or repository prefixes by whole segments
    /// (`quay.io/thoth-station`) that images may come from; Docker Hub is `docker.io`. Empty: all.
    pub allowed: Vec<String>,
}

/// One runtime environment that can be asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatalogEntry {
    /// Operating system, as in `ubi`.
    pub os_name: String,
    /// Its version, in quotes, as in `"9"`.
    pub os_version: String,
    /// Python version, in quotes, as in `"3.11"`.
    pub python_version: String,
    /// The image that stands for the three, with a tag or a digest.
    pub builder_image: String,
}

/// `repositories`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Repositories {
    /// Git hosts (`github.com`, `git.example.com:8443`) that repositories may come from; without a port, any port.
    /// Empty: all public https hosts, and those of `git.credentials`.
    pub allowed: Vec<String>,
    /// The image that a repository is built on which has no Containerfile, where its resource names no `builderImage` either; with
    /// a tag or a digest. Empty: that of the runtime environment with the newest Python.
    pub builder_image: String,
}

/// `git`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Git {
    /// Credentials for Git hosts, one entry a host.
    pub credentials: Vec<GitCredential>,
}

/// One entry of `git.credentials`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitCredential {
    /// The Git host, as it stands in a clone URL, perhaps with a port.
    pub host: String,
    /// Name of the Secret, in the build namespace, that holds the credential.
    pub secret: String,
}

/// Most items of a list.
const MOST: usize = 1000;
/// Most bytes of a configuration: what a ConfigMap can hold.
const BYTES: usize = 1 << 20;

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: a path such as `images.allowed[1]`; or a line and a column, where the text itself cannot be read.
    pub place: String,
    /// What is wrong and what to write, on one line and safe to print.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.message)
    }
}

/// Why a configuration is not taken: at least one problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<Problem>);

impl ConfigError {
    /// All that is wrong. A text that cannot be read has one problem only: nobody knows what else it would have said.
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
    let place = error.location().map(|at| (at.line(), at.column()));
    let (place, end) = match place {
        Some((line, column)) => (
            format!("line {line}, column {column}"),
            format!(" at line {line}, column {column}"),
        ),
        None => (KEY.to_owned(), String::new()),
    };
    let text = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let text = text.strip_suffix(end.as_str()).unwrap_or(&text);
    // The parser speaks of its events.
    let text = match text {
        "expected mapping start" => "expected keys and values, `key: value`",
        "expected sequence start" => "expected a list, `[a, b]` or items on lines of their own with `- ` before them",
        "expected string scalar" => "expected text",
        text => text,
    };
    Problem {
        place,
        message: escaped(text, 1000),
    }
}

impl Config {
    /// Reads and checks a configuration. An empty text is the default configuration.
    pub fn from_yaml(yaml: &str) -> Result<Self, ConfigError> {
        if yaml.len() > BYTES {
            let message = format!("has {} bytes; at most {BYTES} are allowed", yaml.len());
            let place = KEY.to_owned();
            return Err(ConfigError(vec![Problem { place, message }]));
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

    /// The configuration that CNBi is installed with.
    ///
    /// # Panics
    /// Never: a test reads it.
    pub fn shipped() -> Self {
        Self::from_yaml(SHIPPED).expect("a test reads the shipped configuration")
    }

    /// The level of a rule under this configuration.
    pub fn level(&self, rule: &Rule) -> Level {
        if rule.is_fixed {
            Level::Deny
        } else {
            self.rules.get(rule.id).copied().unwrap_or(rule.level)
        }
    }

    /// The target namespace of a resource that names none. `own` is the resource's own namespace, where it is known.
    pub fn default_target<'a>(&'a self, own: Option<&'a str>) -> Option<&'a str> {
        if self.target_namespace.default.is_empty() {
            own
        } else {
            Some(&self.target_namespace.default)
        }
    }

    /// Whether resources of namespace `from` may have their ImageStream in namespace `target`.
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
    fn unknown_keys_and_relaxed_fixed_rules_are_refused() {
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
    fn targets_are_paired_with_their_sources() {
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
