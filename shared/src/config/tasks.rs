//! The sections for the tasks of a build: signatures, package index, network, source and registry.
//!
//! No key contains a credential. Credentials are in Secrets, which are named here and bound to the PipelineRun as workspaces.

use crate::grammar::image::ImageReference;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `signatures`: verification of imported images and base images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Signatures {
    /// `Off`, `IfPresent` (an existing signature must be valid) or `Required`.
    #[schemars(with = "String")]
    pub policy: SignaturePolicy,
    /// Name of the Secret with the public keys in the build namespace, one PEM per entry: ECDSA on P-256 or P-384, RSA, Ed25519. Ed25519
    /// signatures of cosign (Ed25519ph) are not supported. Required unless the policy is `Off`.
    pub keys_secret: String,
}

/// `signatures.policy`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum SignaturePolicy {
    /// Signatures are not verified.
    #[default]
    Off,
    /// An image may be unsigned, but an existing signature must be valid.
    IfPresent,
    /// An image must have a signature by one of the keys.
    Required,
}

/// `python`: package indexes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Python {
    /// URL of the package index (PEP 503).
    pub index_url: String,
    /// Additional indexes. They are searched before `indexUrl`; a package is installed from the first index that has it.
    pub extra_index_urls: Vec<String>,
}

impl Default for Python {
    fn default() -> Self {
        Self {
            index_url: "https://pypi.org/simple".to_owned(),
            extra_index_urls: Vec::new(),
        }
    }
}

/// `network`: access of the tasks to registries, package indexes and Git hosts, and of the controller to registries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Network {
    /// URL of the proxy for `http://`. Empty: none.
    pub http_proxy: String,
    /// URL of the proxy for `https://`. Empty: none.
    pub https_proxy: String,
    /// Hosts and domains (`.example.com`) that are accessed without a proxy.
    pub no_proxy: Vec<String>,
    /// Name of the ConfigMap with additional trusted certificate authorities in the build namespace: PEM in any of its entries. Empty: only
    /// public certificate authorities.
    pub ca_config_map: String,
    /// Registries (`registry.example.com:5000`) that are accessed over plain HTTP.
    pub insecure_registries: Vec<String>,
}

impl Network {
    /// Whether the registry of an image is listed in `network.insecureRegistries`.
    pub fn is_insecure(&self, image: &ImageReference) -> bool {
        let registry = image.registry().unwrap_or_default();
        let mut insecure = self.insecure_registries.iter();
        insecure.any(|host| host.eq_ignore_ascii_case(registry))
    }
}

/// `source`: storage of the sources of package lists, in one Git repository per resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Source {
    /// The repositories are `<baseUrl>/<namespace>/<name>.git`. Empty: sources are not stored.
    pub base_url: String,
    /// Name of the Secret with `username` and `password` for the Git host, in the build namespace. Empty: no credentials.
    pub secret: String,
}

/// `registry`: where built images are pushed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Registry {
    /// Images are pushed to `<prefix>/<target namespace>/<name>`. The default is the internal registry of OpenShift.
    pub prefix: String,
    /// Name of the Secret with the push credentials, of type `kubernetes.io/dockerconfigjson` and in the build namespace. Empty: the token of
    /// the trusted service account, which the internal registry of OpenShift accepts.
    pub secret: String,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            prefix: INTERNAL_REGISTRY.to_owned(),
            secret: String::new(),
        }
    }
}

/// The internal registry of OpenShift, as pods address it.
pub const INTERNAL_REGISTRY: &str = "image-registry.openshift-image-registry.svc:5000";

/// `build`: settings of buildah. Which values work depends on the security policy of the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BuildSettings {
    /// `vfs`, which works everywhere, or `overlay`, which is faster and needs /dev/fuse or a kernel that allows it.
    #[schemars(with = "String")]
    pub storage_driver: StorageDriver,
    /// `chroot`, which works everywhere, `rootless` or `oci`.
    #[schemars(with = "String")]
    pub isolation: Isolation,
}

/// `sbom`: software bill of materials, the Python packages of a built image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Sbom {
    /// `Off`, `CycloneDX` or `SPDX`. It is attached to the image; the registry must support OCI artifacts.
    #[schemars(with = "String")]
    pub format: SbomFormat,
}

/// `sbom.format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum SbomFormat {
    /// No SBOM is created.
    #[default]
    Off,
    /// CycloneDX 1.6, in JSON.
    #[serde(rename = "CycloneDX")]
    CycloneDx,
    /// SPDX 2.3, in JSON.
    #[serde(rename = "SPDX")]
    Spdx,
}

/// `build.storageDriver`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StorageDriver {
    /// Copies whole layers.
    #[default]
    Vfs,
    /// Stacks layers.
    Overlay,
}

/// `build.isolation`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Only a changed root directory.
    #[default]
    Chroot,
    /// An OCI runtime, without root.
    Rootless,
    /// An OCI runtime.
    Oci,
}

impl StorageDriver {
    /// The name in buildah.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vfs => "vfs",
            Self::Overlay => "overlay",
        }
    }
}

impl Isolation {
    /// The name in buildah.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chroot => "chroot",
            Self::Rootless => "rootless",
            Self::Oci => "oci",
        }
    }
}
