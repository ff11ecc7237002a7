//! The two encoded parameters of a PipelineRun: the build request of the user and the settings of the admin.
//!
//! The controller writes them and the tasks read them. Unknown keys are rejected.

use serde::{Deserialize, Serialize};

use crate::config::{BuildSettings, Config, Network, Python, Registry, SbomFormat, SignaturePolicy, Source};

/// The parameter [`super::params::REQUEST`]: the user input under the names of the resource. The build type determines which keys are set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BuildRequest {
    /// Display name in the notebook spawner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Description in the notebook spawner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Creator of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creator: Option<String>,
    /// The image to import.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_image: Option<String>,
    /// The base image: `builderImage`, or the image of the catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builder_image: Option<String>,
    /// PEP 508 requirements, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_versions: Option<Vec<String>>,
    /// Clone URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository_url: Option<String>,
    /// Branch, tag or commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
}

/// The parameter [`super::params::SETTINGS`]: the sections of the configuration for the tasks. Every reader of the PipelineRun can see it,
/// so it contains no credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// `signatures.policy`
    pub signature_policy: SignaturePolicy,
    /// `python`
    pub python: Python,
    /// `network`
    pub network: Network,
    /// `source`
    pub source: Source,
    /// `registry`
    pub registry: Registry,
    /// `build`
    pub build: BuildSettings,
    /// `sbom.format`
    pub sbom: SbomFormat,
    /// The default builder image for repositories: [`Config::repository_builder`].
    pub repository_builder: Option<String>,
}

impl Settings {
    /// The settings of a configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            signature_policy: config.signatures.policy,
            python: config.python.clone(),
            network: config.network.clone(),
            source: config.source.clone(),
            registry: config.registry.clone(),
            build: config.build,
            sbom: config.sbom.format,
            repository_builder: config.repository_builder().map(str::to_owned),
        }
    }

    /// The base image: that of the request, or the default for a repository. A repository with a Containerfile does not need it.
    pub fn builder<'a>(&'a self, request: &'a BuildRequest) -> Option<&'a str> {
        let own = request.builder_image.as_deref();
        own.or_else(|| request.repository_url.as_ref().and(self.repository_builder.as_deref()))
    }
}
