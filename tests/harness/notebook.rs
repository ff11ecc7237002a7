//! A minimal notebook image that passes `validate`.
//!
//! Its Python is a fake: a static program that lists packages and installs from a lock file, and runs no code (see
//! `tests/fakes/python`). JupyterLab exists only as package metadata.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::json;
use tar::{Builder, EntryType, Header};

use crate::assets;
use crate::registry::Image;

/// The site-packages folder of its Python.
const SITE: &str = "opt/app-root/lib/python3.11/site-packages";

/// The image's user, who owns the files in the home folder.
const USER: u64 = 1001;

/// The installed packages.
const PACKAGES: [(&str, &str); 2] = [("jupyterlab", "4.2.5"), ("pip", "24.0")];

/// Creates the image for this machine's processor. The first call builds the fake Python.
///
/// # Errors
/// Go is not installed.
pub async fn notebook() -> Result<Image> {
    let python = tokio::task::spawn_blocking(assets::python)
        .await
        .context("finding Python")??;
    let python = fs::read(&python).with_context(|| format!("reading {}", python.display()))?;
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        "x86_64" => "amd64",
        other => other,
    };
    Ok(Image::new()
        .architecture(architecture)
        .layer(layer(&python)?)
        .setting("User", json!(format!("{USER}:0")))
        .setting(
            "Env",
            json!(["PATH=/opt/app-root/bin:/usr/bin:/bin", "HOME=/opt/app-root/src"]),
        )
        .setting("WorkingDir", json!("/opt/app-root/src"))
        .label("org.opencontainers.image.title", "A notebook image made on the spot"))
}

fn layer(python: &[u8]) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    let mut folder = |path: &str, owner, mode| -> Result<()> {
        let mut header = header(EntryType::Directory, owner, mode, 0);
        Ok(tar.append_data(&mut header, path, std::io::empty())?)
    };
    for path in ["etc", "opt", "opt/app-root", "opt/app-root/bin", "opt/app-root/lib"] {
        folder(path, 0, 0o755)?;
    }
    for path in ["opt/app-root/src", "opt/app-root/lib/python3.11", SITE] {
        folder(path, USER, 0o775)?;
    }
    folder("tmp", 0, 0o1777)?;
    let mut file = |path: &str, mode, text: &[u8]| -> Result<()> {
        let mut header = header(EntryType::Regular, 0, mode, text.len() as u64);
        Ok(tar.append_data(&mut header, path, text)?)
    };
    file("opt/app-root/bin/python3.11", 0o755, python)?;
    let passwd = format!("root:x:0:0::/:/sbin/nologin\nnotebook:x:{USER}:0::/opt/app-root/src:/sbin/nologin\n");
    file("etc/passwd", 0o644, passwd.as_bytes())?;
    for (name, version) in PACKAGES {
        let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
        file(
            &format!("{SITE}/{name}-{version}.dist-info/METADATA"),
            0o644,
            metadata.as_bytes(),
        )?;
    }
    let mut link = header(EntryType::Symlink, 0, 0o777, 0);
    tar.append_link(&mut link, "opt/app-root/bin/python3", "python3.11")?;
    Ok(tar.into_inner()?)
}

fn header(kind: EntryType, owner: u64, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_uid(owner);
    header.set_gid(0);
    header.set_mode(mode);
    header.set_size(size);
    header
}
