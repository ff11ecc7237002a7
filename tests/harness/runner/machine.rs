//! Detects what this machine has for running steps. In a pod, it comes from the step images.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::assets::cache;

/// The version of uv in the step images.
const TOOLS: &str = include_str!("../../../pipelines/tools.txt");

/// Available programs and permissions.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Path of uv.
    pub uv: Option<PathBuf>,
    /// Whether buildah is installed and can create user namespaces.
    pub has_buildah: bool,
    /// How to change the root.
    pub changed_root: Option<ChangedRoot>,
}

/// Ways to change the root of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangedRoot {
    /// As root on this machine; the step runs as the image's user.
    AsRoot,
    /// In a user namespace, where the step runs as root.
    InUserNamespace,
}

impl Machine {
    /// Detects the programs and permissions.
    pub fn look() -> Self {
        Self {
            uv: uv(),
            has_buildah: works("buildah", &["unshare", "true"]) || is_root() && works("buildah", &["--version"]),
            changed_root: changed_root(),
        }
    }

    /// The missing requirements of package lists.
    pub fn lacks_for_package_lists(&self) -> Vec<&'static str> {
        let uv = self.uv.is_none().then_some("uv");
        let buildah = (!self.has_buildah).then_some("buildah");
        uv.into_iter().chain(buildah).collect()
    }

    /// The PATH of a step: the folder of uv, then this machine's PATH.
    pub(super) fn search_path(&self) -> Result<OsString> {
        let uv = self.uv.iter().filter_map(|uv| uv.parent()).map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::join_paths(uv.chain(std::env::split_paths(&path))).context("adding uv to PATH")
    }
}

/// uv from `CNBI_UV`, or as installed by `make tools` into the user's cache.
fn uv() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("CNBI_UV").filter(|given| !given.is_empty()) {
        return Some(given.into());
    }
    let version = TOOLS.lines().find_map(|line| line.strip_prefix("uv=="))?;
    let uv = cache().ok()?.join(format!("tools/uv-{version}/bin/uv"));
    uv.is_file().then_some(uv)
}

fn changed_root() -> Option<ChangedRoot> {
    let enter = ["--mount", "--pid", "--fork"];
    if is_root() && works("unshare", &[&enter[..], &["chroot", "/", "true"]].concat()) {
        return Some(ChangedRoot::AsRoot);
    }
    let mapped = [&["--map-root-user"], &enter[..], &["chroot", "/", "true"]].concat();
    works("unshare", &mapped).then_some(ChangedRoot::InUserNamespace)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn works(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
