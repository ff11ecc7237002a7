//! Finds or builds third-party programs for the tests: control plane, registry, kustomize, and tools that read health and SARIF.
//!
//! The control plane is searched in the folder of `CNBI_KUBE_ASSETS` or `KUBEBUILDER_ASSETS`, then in the user's cache; otherwise
//! Go builds the versions pinned in `tests/tools/controlplane/go.mod`, or those of the minor version in `CNBI_KUBE_VERSION`. The
//! other programs come from the cache or a build. A missing program is an error, never a reason to skip a test.

mod build;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use build::Recipe;

/// Selects the minor version of Kubernetes.
const VERSION: &str = "CNBI_KUBE_VERSION";

/// Variables with a folder of prebuilt programs; the first one that is set wins.
const VARIABLES: [&str; 2] = ["CNBI_KUBE_ASSETS", "KUBEBUILDER_ASSETS"];

const PROGRAMS: &[(&str, &str)] = &[
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    (
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
];

/// The list of CI schemas with their URLs.
const SCHEMAS: &str = include_str!("../tools/schemas.txt");

const OR_INSTEAD: &str = "or set CNBI_KUBE_ASSETS to a folder that holds these four programs";

/// Supported minor versions; the first is the default.
const CONTROL_PLANES: [(&str, Recipe); 2] = [
    (
        "1.36",
        Recipe {
            name: "control plane",
            folder: "tools/controlplane",
            go_mod: include_str!("../tools/controlplane/go.mod"),
            go_sum: include_str!("../tools/controlplane/go.sum"),
            source: "",
            programs: PROGRAMS,
            or_instead: OR_INSTEAD,
        },
    ),
    (
        "1.35",
        Recipe {
            name: "control plane 1.35",
            folder: "tools/controlplane-1.35",
            go_mod: include_str!("../tools/controlplane-1.35/go.mod"),
            go_sum: include_str!("../tools/controlplane-1.35/go.sum"),
            source: "",
            programs: PROGRAMS,
            or_instead: OR_INSTEAD,
        },
    ),
];

/// The control plane of the version in `CNBI_KUBE_VERSION`, or the default.
fn chosen(version: Option<&str>) -> Result<&'static Recipe> {
    let [(_, first), ..] = &CONTROL_PLANES;
    let Some(version) = version.filter(|version| !version.is_empty()) else {
        return Ok(first);
    };
    let found = CONTROL_PLANES.iter().find(|(minor, _)| *minor == version);
    let known: Vec<_> = CONTROL_PLANES.iter().map(|(minor, _)| *minor).collect();
    found
        .map(|(_, recipe)| recipe)
        .with_context(|| format!("{VERSION} is {version}; there are {}", known.join(", ")))
}

fn control_plane() -> Result<&'static Recipe> {
    let version = std::env::var_os(VERSION);
    let version = version.as_ref().map(|version| version.to_string_lossy());
    chosen(version.as_deref())
}

const REGISTRY: Recipe = Recipe {
    name: "registry",
    folder: "tools/registry",
    go_mod: include_str!("../tools/registry/go.mod"),
    go_sum: include_str!("../tools/registry/go.sum"),
    source: "",
    programs: &[("registry", "github.com/distribution/distribution/v3/cmd/registry")],
    or_instead: "this program has no prebuilt alternative",
};

/// The fake Python in test images; it needs no Go modules.
const PYTHON: Recipe = Recipe {
    name: "fake Python",
    folder: "fakes/python",
    go_mod: include_str!("../fakes/python/go.mod"),
    go_sum: "",
    source: include_str!("../fakes/python/main.go"),
    programs: &[("python3", ".")],
    or_instead: "this program has no prebuilt alternative",
};

const SSH: Recipe = Recipe {
    name: "SSH server",
    folder: "tools/ssh",
    go_mod: include_str!("../tools/ssh/go.mod"),
    go_sum: include_str!("../tools/ssh/go.sum"),
    source: include_str!("../tools/ssh/main.go"),
    programs: &[("ssh-server", ".")],
    or_instead: "this program has no prebuilt alternative",
};

/// A server for Git repositories over SSH that accepts one key. The first build takes seconds.
///
/// Blocks; do not call it in an async task.
pub fn ssh_server() -> Result<PathBuf> {
    Ok(build::cached(&cache()?, &SSH)?.join("ssh-server"))
}

/// The static fake Python for test images. The first build takes seconds.
///
/// Blocks; do not call it in an async task.
pub fn python() -> Result<PathBuf> {
    Ok(build::cached(&cache()?, &PYTHON)?.join("python3"))
}

const KUSTOMIZE: Recipe = Recipe {
    name: "kustomize",
    folder: "tools/kustomize",
    go_mod: include_str!("../tools/kustomize/go.mod"),
    go_sum: include_str!("../tools/kustomize/go.sum"),
    source: "",
    programs: &[("kustomize", "sigs.k8s.io/kustomize/kustomize/v5")],
    or_instead: "this program has no prebuilt alternative",
};

const KSTATUS: Recipe = Recipe {
    name: "kstatus",
    folder: "tools/kstatus",
    go_mod: include_str!("../tools/kstatus/go.mod"),
    go_sum: include_str!("../tools/kstatus/go.sum"),
    source: include_str!("../tools/kstatus/main.go"),
    programs: &[("kstatus", ".")],
    or_instead: "this program has no prebuilt alternative",
};

const SARIF: Recipe = Recipe {
    name: "SARIF validator",
    folder: "tools/sarif",
    go_mod: include_str!("../tools/sarif/go.mod"),
    go_sum: include_str!("../tools/sarif/go.sum"),
    source: include_str!("../tools/sarif/main.go"),
    programs: &[("sarif", ".")],
    or_instead: "this program has no prebuilt alternative",
};

/// kustomize. The first build takes a minute; progress is printed to stderr.
///
/// Blocks; do not call it in an async task.
pub fn kustomize() -> Result<PathBuf> {
    Ok(build::cached(&cache()?, &KUSTOMIZE)?.join("kustomize"))
}

/// Computes the kstatus of objects (see `tests/tools/kstatus`). Built like [`kustomize`].
///
/// Blocks; do not call it in an async task.
pub fn kstatus() -> Result<PathBuf> {
    Ok(build::cached(&cache()?, &KSTATUS)?.join("kstatus"))
}

/// Validates SARIF logs against the OASIS schema, and other documents against the schema in its argument (see
/// `tests/tools/sarif`). The first build takes seconds.
///
/// Blocks; do not call it in an async task.
pub fn sarif() -> Result<PathBuf> {
    Ok(build::cached(&cache()?, &SARIF)?.join("sarif"))
}

/// A schema from `tests/tools/schemas.txt`, downloaded by `make tools`: `github-workflows` or `gitlab-ci`.
///
/// # Errors
/// The schema has not been downloaded.
pub fn ci_schema(name: &str) -> Result<PathBuf> {
    let version = SCHEMAS.lines().find_map(|line| line.strip_prefix("check-jsonschema=="));
    let version = version.and_then(|rest| rest.split(' ').next()).context("no version")?;
    let folder = cache()?.join(format!("tools/schemas-{version}"));
    let schema = folder.join(format!("check_jsonschema/builtin_schemas/vendor/{name}.json"));
    ensure!(
        schema.is_file(),
        "{} is not there; `make tools` fetches it",
        schema.display()
    );
    Ok(schema)
}

/// The OCI registry. The first build takes a minute or two; progress is printed to stderr.
///
/// Blocks; do not call it in an async task.
pub fn registry() -> Result<PathBuf> {
    Ok(build::cached(&cache()?, &REGISTRY)?.join("registry"))
}

/// A folder with all programs of the control plane.
#[derive(Clone, Debug)]
pub struct Assets {
    folder: PathBuf,
    pinned: bool,
}

impl Assets {
    /// Finds or builds the programs. The first build takes some minutes; progress is printed to stderr.
    ///
    /// Blocks; do not call it in an async task.
    pub fn locate() -> Result<Self> {
        for variable in VARIABLES {
            if let Some(folder) = std::env::var_os(variable).filter(|value| !value.is_empty()) {
                return Self::given(PathBuf::from(folder)).with_context(|| format!("{variable} is set"));
            }
        }
        let folder = build::cached(&cache()?, control_plane()?)?;
        Ok(Self { folder, pinned: true })
    }

    fn given(folder: PathBuf) -> Result<Self> {
        for (program, _) in PROGRAMS {
            let path = folder.join(program);
            ensure!(path.is_file(), "{} has no {program}", folder.display());
        }
        Ok(Self { folder, pinned: false })
    }

    /// The folder with the programs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether these are the versions pinned in this repository, not ones from the environment.
    pub fn pinned(&self) -> bool {
        self.pinned
    }

    pub fn etcd(&self) -> PathBuf {
        self.folder.join("etcd")
    }

    pub fn kube_apiserver(&self) -> PathBuf {
        self.folder.join("kube-apiserver")
    }

    pub fn kube_controller_manager(&self) -> PathBuf {
        self.folder.join("kube-controller-manager")
    }

    pub fn kubectl(&self) -> PathBuf {
        self.folder.join("kubectl")
    }
}

/// The pinned version of Kubernetes for this run, such as `v1.36.3`.
pub fn kubernetes_version() -> Result<&'static str> {
    build::kubernetes_version(control_plane()?)
}

/// The user's build cache, shared by all clones.
pub fn cache() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from) {
        // The XDG Base Directory specification says to ignore relative paths.
        Some(path) if path.is_absolute() => path,
        _ => match std::env::home_dir() {
            Some(home) => home.join(".cache"),
            None => bail!("neither HOME nor XDG_CACHE_HOME is set, so there is no folder for the build cache"),
        },
    };
    Ok(base.join("cnbi"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_minor_version_is_what_its_go_module_pins() {
        for (minor, recipe) in &CONTROL_PLANES {
            let version = build::kubernetes_version(recipe).unwrap();
            assert!(version.starts_with(&format!("v{minor}.")), "{version}");
            assert_eq!(chosen(Some(minor)).unwrap().folder, recipe.folder);
        }
        assert_eq!(chosen(None).unwrap().folder, "tools/controlplane");
        assert_eq!(chosen(Some("")).unwrap().folder, "tools/controlplane");
        let error = chosen(Some("1.1")).unwrap_err().to_string();
        assert_eq!(error, "CNBI_KUBE_VERSION is 1.1; there are 1.36, 1.35");
    }

    #[test]
    fn a_folder_that_lacks_a_program_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        for program in ["etcd", "kube-apiserver", "kubectl"] {
            std::fs::write(folder.path().join(program), "").unwrap();
        }
        let error = Assets::given(folder.path().to_owned()).unwrap_err().to_string();
        assert!(error.ends_with("has no kube-controller-manager"), "{error}");
    }
}
