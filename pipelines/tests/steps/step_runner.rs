//! Runs cnbi-step with workspace, Secrets and results, like a task.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cnbi_shared::config::Config;
use cnbi_shared::contract::Settings;
use serde_json::{Value, json};

/// Folders and environment of a step.
pub struct StepRunner {
    folder: tempfile::TempDir,
    settings: Settings,
    variables: Vec<(&'static str, String)>,
}

/// Results and log of a step.
#[derive(Debug)]
pub struct StepOutput {
    pub code: Option<i32>,
    pub reason: String,
    pub message: String,
    pub log: String,
    results: BTreeMap<String, String>,
}

impl StepOutput {
    /// A result other than reason and message.
    pub fn result(&self, name: &str) -> String {
        let found = self.results.get(name).cloned();
        found.unwrap_or_else(|| panic!("no result {name}: {self:?}"))
    }

    /// Asserts success.
    pub fn done(self) -> Self {
        assert_eq!((self.code, self.message.as_str()), (Some(0), ""), "{self:?}");
        self
    }

    /// Asserts a failure with this reason (empty: the task's default) and a message that contains `message`.
    pub fn failed(self, reason: &str, message: &str) -> Self {
        assert_eq!((self.code, self.reason.as_str()), (Some(1), reason), "{self:?}");
        assert!(self.message.contains(message), "{self:?}");
        self
    }
}

impl StepRunner {
    /// A runner with this configuration.
    pub fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["work", "ca", "secret", "image"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self {
            folder,
            settings: Settings::of(&Config::from_yaml(config).unwrap()),
            variables: Vec::new(),
        }
    }

    /// Adds a CA certificate.
    pub fn with_ca(self, pem: &str) -> Self {
        fs::write(self.path("ca/ca.pem"), pem).unwrap();
        self
    }

    /// Adds entries to the mounted Secret.
    pub fn with_secret(self, entries: &[(&str, &str)]) -> Self {
        for (name, text) in entries {
            fs::write(self.path("secret").join(name), text).unwrap();
        }
        self
    }

    /// Sets an environment variable.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a subcommand without parameters.
    pub fn run_plain(&self, args: &[&str]) -> StepOutput {
        let results = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cnbi-step"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        for name in ["SSL_CERT_FILE", "HOME"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = command.arg("--results").arg(&results).args(args).output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        let results: BTreeMap<String, String> = fs::read_dir(&results)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                let text = fs::read_to_string(entry.path()).unwrap();
                (entry.file_name().into_string().unwrap(), text)
            })
            .collect();
        let text = |name: &str| results.get(name).cloned().unwrap_or_else(|| panic!("{name}: {log}"));
        StepOutput {
            code: output.status.code(),
            reason: text("reason"),
            message: text("message"),
            log,
            results,
        }
    }

    /// Runs a subcommand with settings, workspace and CA certificates.
    pub fn run_step(&self, args: &[&str]) -> StepOutput {
        let mut all = args.to_vec();
        let (work, ca) = (self.path("work"), self.path("ca"));
        // Tekton passes an empty path for an unbound workspace.
        let has_ca = ca.join("ca.pem").is_file();
        let ca = format!("--ca-bundle={}", if has_ca { ca.to_str().unwrap() } else { "" });
        let settings = encoded(&json!(self.settings));
        all.extend(["--settings", &settings, "--work", work.to_str().unwrap()]);
        all.push(&ca);
        self.run_plain(&all)
    }

    /// Like [`Self::run_step`], with a request.
    pub fn run_with_request(&self, args: &[&str], request: &Value) -> StepOutput {
        let request = encoded(request);
        let mut all = args.to_vec();
        all.extend(["--request", &request]);
        self.run_step(&all)
    }

    /// Writes a base image with this version of Python to the workspace.
    pub fn write_base_image(&self, python: &str) {
        let layout = self.path("work/base");
        let mut layer = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        header.set_size(0);
        let program = format!("usr/bin/python{python}");
        layer
            .append_data(&mut header.clone(), &program, std::io::empty())
            .unwrap();
        header.set_entry_type(tar::EntryType::Symlink);
        layer
            .append_link(&mut header, "usr/bin/python3", format!("python{python}"))
            .unwrap();
        let layer = layer.into_inner().unwrap();
        let config = json!({"architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]}});
        write_layout(&layout, &config, &layer);
    }
}

/// Writes an OCI layout of an image with one layer and returns its digest.
pub fn write_layout(layout: &Path, config: &Value, layer: &[u8]) -> String {
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    let blob = |bytes: &[u8], kind: &str| {
        let digest = digest(bytes);
        fs::write(layout.join("blobs").join(digest.replace(':', "/")), bytes).unwrap();
        json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest, "size": bytes.len()})
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(config.to_string().as_bytes(), "config.v1+json"),
        "layers": [blob(layer, "layer.v1.tar")],
    });
    let manifest = blob(manifest.to_string().as_bytes(), "manifest.v1+json");
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
    manifest["digest"].as_str().unwrap().to_owned()
}

pub fn digest(bytes: &[u8]) -> String {
    cnbi_pipelines::registry::layout::digest(bytes)
}

fn encoded(value: &Value) -> String {
    STANDARD.encode(value.to_string())
}

/// The path of uv, which `make tools` installs.
pub fn uv() -> PathBuf {
    if let Some(given) = std::env::var_os("CNBI_UV").filter(|given| !given.is_empty()) {
        return given.into();
    }
    let version = include_str!("../../tools.txt")
        .lines()
        .find_map(|line| line.strip_prefix("uv=="))
        .unwrap();
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|cache| !cache.is_empty());
    let cache = cache.map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"),
        PathBuf::from,
    );
    let uv = cache.join(format!("cnbi/tools/uv-{version}/bin/uv"));
    assert!(uv.is_file(), "{} not found; run `make tools`", uv.display());
    uv
}
