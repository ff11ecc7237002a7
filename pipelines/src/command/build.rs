//! `build`: builds the image with buildah and exports it to the workspace as an OCI layout.
//!
//! A build runs user code, so the task has no credentials; base images that need some were fetched before. buildah only gets CNBi's
//! configuration.

mod error_summary;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cnbi_shared::contract::{self, Reason, Settings, tasks};
use cnbi_shared::grammar::git_ref::is_object_id;
use cnbi_shared::grammar::image::ImageReference;

use super::StepContract;
use crate::args::{RequestArgs, TaskArgs, TaskContext};
use crate::base_image;
use crate::build_file::{BuildFile, detect};
use crate::canonical::CONTAINERFILE;
use crate::egress::Egress;
use crate::error::StepError;
use crate::program::{self, Limits, Log, ProgramError, ProgramOutput};
use crate::report::Report;
use crate::workspace::{self, WorkspaceArgs};

pub(super) const CONTRACT: StepContract = StepContract {
    name: "build",
    tasks: &[
        (&contract::PACKAGE_LIST, tasks::BUILD),
        (&contract::GIT_REPOSITORY, tasks::BUILD),
    ],
    reasons: &[Reason::BuildFailed],
    results: &[],
};

/// The tag of the image in the layout.
const TAG: &str = "image";
/// The CA bundle in the build container.
const AUTHORITIES: &str = "/run/cnbi/ca.pem";
/// Maximum output of buildah that is used, in bytes.
const OUTPUT_LIMIT: usize = 64 << 10;

/// Arguments of `build`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    task: TaskArgs,
    /// Commit id, for the image labels
    #[arg(long, value_name = "ID", default_value = "")]
    commit: String,
    /// Folder for buildah's storage. It must have space for all layers
    #[arg(long, value_name = "FOLDER", default_value = "/var/lib/containers")]
    storage: PathBuf,
    /// Path of buildah
    #[arg(long, value_name = "FILE", default_value = "buildah")]
    buildah: PathBuf,
    /// Time limit in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3000)]
    timeout: u64,
}

pub(super) fn run(args: &Args) -> Result<Report, StepError> {
    let request = args.request.read()?;
    let TaskContext { settings, home, egress } = args.task.context()?;
    let builder = settings.builder(&request).map(ImageReference::parse).transpose();
    let builder = builder.map_err(|error| StepError::usage(format!("builderImage: {error}")))?;
    let (context, file) = context(&args.task.work)?;
    let buildah = Buildah::new(args, &settings, home.path(), &egress)?;
    let mut labels = vec![("org.opencontainers.image.vendor", "CNBi".to_owned())];
    if is_object_id(&args.commit) {
        labels.push(("org.opencontainers.image.revision", args.commit.clone()));
    }
    let optional = [
        ("org.opencontainers.image.title", request.display_name),
        ("org.opencontainers.image.description", request.description),
        ("org.opencontainers.image.authors", request.creator),
        ("org.opencontainers.image.source", request.repository_url),
    ];
    labels.extend(
        optional
            .into_iter()
            .filter_map(|(name, text)| Some((name, label(&text?)))),
    );
    if let Some(builder) = &builder
        && args.task.work.base().is_dir()
    {
        let digest = buildah.bring(&args.task.work.base(), builder)?;
        labels.push(("org.opencontainers.image.base.name", builder.qualified()));
        labels.push(("org.opencontainers.image.base.digest", digest));
    }
    let image = buildah.build(&context, &file, &labels)?;
    let layout = args.task.work.image();
    workspace::recreate(&layout)?;
    buildah.export(&image, &layout)?;
    Ok(Report::new())
}

/// The build context and the Containerfile: those that `prepare` generated, otherwise the source.
fn context(work: &WorkspaceArgs) -> Result<(PathBuf, PathBuf), StepError> {
    for folder in [work.recipe(), work.source()] {
        let is_there = fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.is_dir());
        if is_there && let Some((name, BuildFile::Containerfile)) = detect(&folder) {
            let file = folder.join(name);
            return Ok((folder, file));
        }
    }
    Err(StepError::other(format!("found no {CONTAINERFILE} to build")))
}

/// A label as one line. buildah expands nothing in labels.
fn label(text: &str) -> String {
    crate::report::message(text)
}

/// buildah with its own storage and configuration.
struct Buildah<'a> {
    args: &'a Args,
    settings: &'a Settings,
    home: &'a Path,
    egress: &'a Egress,
}

impl<'a> Buildah<'a> {
    fn new(args: &'a Args, settings: &'a Settings, home: &'a Path, egress: &'a Egress) -> Result<Self, StepError> {
        let mut registries = "unqualified-search-registries = [\"docker.io\"]\n".to_owned();
        for host in &settings.network.insecure_registries {
            // The configuration check allows registry names only; they contain no quotes.
            if !host.contains(['"', '\\', '\n']) {
                registries = format!("{registries}[[registry]]\nlocation = \"{host}\"\ninsecure = true\n");
            }
        }
        let storage = format!("[storage]\ndriver = \"{}\"\n", settings.build.storage_driver.as_str());
        let files = [
            ("registries.conf", registries.as_str()),
            ("policy.json", r#"{"default": [{"type": "insecureAcceptAnything"}]}"#),
            ("auth.json", "{}"),
            ("storage.conf", storage.as_str()),
            ("containers.conf", ""),
        ];
        let write = || {
            for (name, text) in files {
                fs::write(home.join(name), text)?;
            }
            fs::create_dir_all(args.storage.join("tmp"))
        };
        write().map_err(|error| StepError::other(format!("cannot configure buildah: {error}")))?;
        Ok(Self {
            args,
            settings,
            home,
            egress,
        })
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = program::clean_command(&self.args.buildah, self.home);
        self.egress.configure(&mut command);
        command
            .current_dir(self.home)
            .env("CONTAINERS_REGISTRIES_CONF", self.home.join("registries.conf"))
            .env("CONTAINERS_STORAGE_CONF", self.home.join("storage.conf"))
            .env("CONTAINERS_CONF", self.home.join("containers.conf"))
            .env("REGISTRY_AUTH_FILE", self.home.join("auth.json"))
            .env("TMPDIR", self.args.storage.join("tmp"))
            .arg("--root")
            .arg(self.args.storage.join("root"))
            .arg("--runroot")
            .arg(self.args.storage.join("run"))
            .args(["--storage-driver", self.settings.build.storage_driver.as_str()])
            .arg(subcommand);
        command
    }

    fn run(&self, command: &mut Command, log: Log) -> Result<ProgramOutput, StepError> {
        let limits = Limits {
            time: Duration::from_secs(self.args.timeout),
            output: OUTPUT_LIMIT,
        };
        program::run(command, limits, b"", log, &mut program::never_stop).map_err(|error| match error {
            ProgramError::TimedOut { .. } => {
                StepError::new(Reason::BuildFailed, format!("the build {}", after(&error)))
            }
            error => StepError::other(error.to_string()),
        })
    }

    /// Runs a command and returns its output.
    fn ask(&self, command: &mut Command, what: &str) -> Result<String, StepError> {
        let ended = self.run(command, Log::Stderr)?;
        if ended.status.success() {
            return Ok(String::from_utf8_lossy(&ended.stdout).trim().to_owned());
        }
        let why = error_summary::summarize(&ended.stderr);
        Err(StepError::new(
            Reason::BuildFailed,
            format!("buildah {what} failed: {why}"),
        ))
    }

    /// Loads the base image into the storage, tags it with its original reference and returns its digest.
    fn bring(&self, layout: &Path, builder: &ImageReference) -> Result<String, StepError> {
        let base = base_image::read(layout, builder).map_err(|error| StepError::other(error.to_string()))?;
        // buildah derives the image name from the path, so the path must be a valid name.
        let (folder, name) = layout
            .parent()
            .zip(layout.file_name())
            .ok_or_else(|| StepError::other("the folder of the base image has no parent"))?;
        let mut pull = self.command("pull");
        pull.current_dir(folder)
            .args(["--quiet", "--signature-policy"])
            .arg(self.home.join("policy.json"))
            .arg("--")
            .arg(format!("oci:{}", name.to_string_lossy()));
        let id = self.ask(&mut pull, "pull of the base image")?;
        let id = id.lines().last().unwrap_or_default();
        let name = ImageReference::parse(&base.reference).map(|pinned| {
            let registry = pinned
                .registry()
                .map(|registry| format!("{registry}/"))
                .unwrap_or_default();
            format!(
                "{registry}{}:{}",
                pinned.repository(),
                builder.tag().unwrap_or("latest")
            )
        });
        let name = name.map_err(|error| StepError::other(error.to_string()))?;
        let mut tag = self.command("tag");
        tag.args(["--", id, &name]);
        self.ask(&mut tag, "tag of the base image")?;
        Ok(base.digest)
    }

    /// Builds the image and returns its id.
    fn build(&self, context: &Path, file: &Path, labels: &[(&str, String)]) -> Result<String, StepError> {
        let mut bud = self.command("bud");
        bud.args(["--isolation", self.settings.build.isolation.as_str()])
            .args(["--format", "oci", "--no-cache", "--layers=false", "--force-rm"])
            .arg("--signature-policy")
            .arg(self.home.join("policy.json"))
            .arg("--authfile")
            .arg(self.home.join("auth.json"))
            .arg("--iidfile")
            .arg(self.home.join("id"))
            .arg("--file")
            .arg(file);
        for (name, value) in labels {
            bud.arg("--label").arg(format!("{name}={value}"));
        }
        if let Some(ca_bundle) = self.egress.ca_bundle() {
            bud.arg("--volume")
                .arg(format!("{}:{AUTHORITIES}:ro", ca_bundle.display()))
                .args(["--build-arg", &format!("PIP_CERT={AUTHORITIES}")]);
        }
        bud.arg("--").arg(context);
        let ended = self.run(&mut bud, Log::Combined)?;
        if !ended.status.success() {
            return Err(StepError::new(
                Reason::BuildFailed,
                error_summary::summarize(&ended.stderr),
            ));
        }
        let id = workspace::read(self.home, "id", 1024)
            .ok()
            .flatten()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| StepError::other("buildah returned no image id"))?;
        Ok(id.trim().trim_start_matches("sha256:").to_owned())
    }

    fn export(&self, image: &str, layout: &Path) -> Result<(), StepError> {
        let mut push = self.command("push");
        push.args(["--quiet", "--format", "oci", "--signature-policy"])
            .arg(self.home.join("policy.json"))
            .arg("--")
            .arg(image)
            .arg(format!("oci:{}:{TAG}", layout.display()));
        self.ask(&mut push, "export of the image").map(|_| ())
    }
}

fn after(error: &ProgramError) -> String {
    match error {
        ProgramError::TimedOut { time, .. } => format!("took longer than {} seconds", time.as_secs()),
        error => error.to_string(),
    }
}
