//! The content of the two encoded parameters of a run: the user's request and the admin's settings.
//!
//! The controller serializes these types and the tasks deserialize them. Unknown keys are errors, because a request must not be
//! understood in part.

use serde::{Deserialize, Serialize};

use crate::config::{BuildSettings, Config, Network, Python, Registry, SbomFormat, SignaturePolicy, Source};

/// The parameter [`super::params::REQUEST`]: all user input, with the names of the resource's fields. The build type determines which
/// are set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BuildRequest {
    /// Display name in the notebook spawner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Description in the notebook spawner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who asked for the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creator: Option<String>,
    /// The image to import.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_image: Option<String>,
    /// The image to build on: the one that was asked for, or the one that the catalog has for the environment.
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

/// The parameter [`super::params::SETTINGS`]: the sections of the configuration that tasks work by. It stands in the run for all to
/// read, so it holds no credentials; the configuration takes none.
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
    /// The image for repositories that say nothing of one: see [`Config::repository_builder`].
    pub repository_builder: Option<String>,
}

impl Settings {
    /// What tasks need to know of the configuration.
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

    /// The image to build on: the one of the request, or else, for a repository, the admin's. Whether a repository needs
    /// one at all, only its files say.
    pub fn builder<'a>(&'a self, request: &'a BuildRequest) -> Option<&'a str> {
        let own = request.builder_image.as_deref();
        own.or_else(|| request.repository_url.as_ref().and(self.repository_builder.as_deref()))
    }
}
