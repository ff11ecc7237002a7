//! The sections that the tasks of a run work by: signatures, package index, network, and where source and images go.
//!
//! No key takes a credential. Those are in Secrets, which are named here and bound to the run as workspaces.

use crate::grammar::image::ImageReference;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `signatures`: what is asked of images that others made, those that are imported and those that are built on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Signatures {
    /// `Off`, `IfPresent` (a signature that is there has to be valid) or `Required`.
    #[schemars(with = "String")]
    pub policy: SignaturePolicy,
    /// Name of the Secret, in the build namespace, with the public keys that count, one PEM an entry: ECDSA on P-256
    /// or P-384, RSA, Ed25519. What cosign signs with Ed25519 (its Ed25519ph) cannot be verified. Needed unless the policy is `Off`.
    pub keys_secret: String,
}

/// `signatures.policy`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum SignaturePolicy {
    /// Nobody looks.
    #[default]
    Off,
    /// An image may be unsigned, but not signed wrongly.
    IfPresent,
    /// An image needs a signature by one of the keys.
    Required,
}

/// `python`: where packages come from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Python {
    /// URL of the package index (PEP 503).
    pub index_url: String,
    /// Further indexes. They are asked before `indexUrl`, and a package comes from the first that has it.
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

/// `network`: how the tasks reach registries, package indexes and Git hosts, and the controller the registries whose tags it
/// follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Network {
    /// URL of the proxy for `http://`. Empty: none.
    pub http_proxy: String,
    /// URL of the proxy for `https://`. Empty: none.
    pub https_proxy: String,
    /// Hosts and domains (`.example.com`) that are reached without a proxy.
    pub no_proxy: Vec<String>,
    /// Name of the ConfigMap, in the build namespace, with further certificate authorities to trust: PEM, in any of its
    /// entries. Empty: the public ones only.
    pub ca_config_map: String,
    /// Registries (`registry.example.com:5000`) that are spoken to over plain HTTP.
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

/// `source`: where the source of a package list is kept, as a Git repository for each resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Source {
    /// The repositories are `<baseUrl>/<namespace>/<name>.git`. Empty: source is kept no longer than its run.
    pub base_url: String,
    /// Name of the Secret, in the build namespace, with `username` and `password` for the Git host. Empty: none is needed.
    pub secret: String,
}

/// `registry`: where images are pushed that were built here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Registry {
    /// Images are pushed to `<prefix>/<target namespace>/<name>`. The default is OpenShift's own registry.
    pub prefix: String,
    /// Name of the Secret, in the build namespace and of type `kubernetes.io/dockerconfigjson`, with the credentials to push. Empty: the
    /// token of the trusted service account, which OpenShift's own registry takes.
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

/// OpenShift's own registry, as pods reach it.
pub const INTERNAL_REGISTRY: &str = "image-registry.openshift-image-registry.svc:5000";

/// `build`: how buildah builds. What works depends on what the cluster lets pods do.
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

/// `sbom`: the list of the Python packages in an image that was built, a software bill of materials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Sbom {
    /// `Off`, `CycloneDX` or `SPDX`: as what it is attached to the image in its registry, which has to take artifacts of the OCI.
    #[schemars(with = "String")]
    pub format: SbomFormat,
}

/// `sbom.format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum SbomFormat {
    /// None is made.
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
    /// Stacks them.
    Overlay,
}

/// `build.isolation`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// A changed root and nothing else.
    #[default]
    Chroot,
    /// An OCI runtime, without root.
    Rootless,
    /// An OCI runtime.
    Oci,
}

impl StorageDriver {
    /// As buildah has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vfs => "vfs",
            Self::Overlay => "overlay",
        }
    }
}

impl Isolation {
    /// As buildah has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chroot => "chroot",
            Self::Rootless => "rootless",
            Self::Oci => "oci",
        }
    }
}
