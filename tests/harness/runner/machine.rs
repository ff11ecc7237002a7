//! What this machine has for steps to run, where a pod would have it from an image.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::assets::cache;

/// The version of uv that the step images have.
const TOOLS: &str = include_str!("../../../pipelines/tools.txt");

/// Programs and rights.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The program uv.
    pub uv: Option<PathBuf>,
    /// Whether there is a buildah, and it may make the namespaces that it needs.
    pub has_buildah: bool,
    /// How another root can be entered.
    pub changed_root: Option<ChangedRoot>,
}

/// How a container's root is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangedRoot {
    /// As root of this machine: the step then runs as the image's user.
    AsRoot,
    /// In a user namespace, in which the step believes that it is root.
    InUserNamespace,
}

impl Machine {
    /// Looks around.
    pub fn look() -> Self {
        Self {
            uv: uv(),
            has_buildah: works("buildah", &["unshare", "true"]) || is_root() && works("buildah", &["--version"]),
            changed_root: changed_root(),
        }
    }

    /// What a package list would need and is not here.
    pub fn lacks_for_package_lists(&self) -> Vec<&'static str> {
        let uv = self.uv.is_none().then_some("uv");
        let buildah = (!self.has_buildah).then_some("buildah");
        uv.into_iter().chain(buildah).collect()
    }

    /// The search path of a step: uv's folder, and then this machine's.
    pub(super) fn search_path(&self) -> Result<OsString> {
        let uv = self.uv.iter().filter_map(|uv| uv.parent()).map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::join_paths(uv.chain(std::env::split_paths(&path))).context("putting uv on the search path")
    }
}

/// The one that `CNBI_UV` names, or that `make tools` has put into the user's cache.
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
