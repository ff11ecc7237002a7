//! `build`: has buildah build the image, and leaves it as an OCI layout on the volume.
//!
//! What it builds is a stranger's code, so there is no credential in reach: images to build on that need one were fetched
//! before. buildah gets no configuration but ours.

mod trouble;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cnbi_shared::contract::{self, Reason, Settings, tasks};
use cnbi_shared::grammar::git_ref::is_object_id;
use cnbi_shared::grammar::image::ImageReference;

use super::Duty;
use crate::args::{Begun, RequestArgs, TaskArgs};
use crate::base;
use crate::canonical::CONTAINERFILE;
use crate::child::{self, ChildError, Ended, Limits, Log};
use crate::failure::Failure;
use crate::outside::Outside;
use crate::report::Report;
use crate::repository::{Kind, kind};
use crate::work::{self, WorkArgs};

pub(super) const DUTY: Duty = Duty {
    name: "build",
    tasks: &[
        (&contract::PACKAGE_LIST, tasks::BUILD),
        (&contract::GIT_REPOSITORY, tasks::BUILD),
    ],
    reasons: &[Reason::BuildFailed],
    results: &[],
};

/// The tag of the image in its layout.
const TAG: &str = "image";
/// Where the authorities are while the image is built.
const AUTHORITIES: &str = "/run/cnbi/ca.pem";
/// Bytes that are kept of what buildah says.
const KEPT: usize = 64 << 10;

/// Arguments of `build`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    task: TaskArgs,
    /// The commit that is built, for the image's labels
    #[arg(long, value_name = "ID", default_value = "")]
    commit: String,
    /// Folder for buildah's storage, which has to hold every layer
    #[arg(long, value_name = "FOLDER", default_value = "/var/lib/containers")]
    storage: PathBuf,
    /// The program buildah
    #[arg(long, value_name = "FILE", default_value = "buildah")]
    buildah: PathBuf,
    /// Most seconds that it may take
    #[arg(long, value_name = "SECONDS", default_value_t = 3000)]
    timeout: u64,
}

pub(super) fn run(args: &Args) -> Result<Report, Failure> {
    let asked = args.request.read()?;
    let Begun {
        settings,
        home,
        outside,
    } = args.task.begin()?;
    let builder = settings.builder(&asked).map(ImageReference::parse).transpose();
    let builder = builder.map_err(|error| Failure::usage(format!("builderImage: {error}")))?;
    let (context, file) = context(&args.task.work)?;
    let buildah = Buildah::new(args, &settings, home.path(), &outside)?;
    let mut labels = vec![("org.opencontainers.image.vendor", "CNBi".to_owned())];
    if is_object_id(&args.commit) {
        labels.push(("org.opencontainers.image.revision", args.commit.clone()));
    }
    let optional = [
        ("org.opencontainers.image.title", asked.display_name),
        ("org.opencontainers.image.description", asked.description),
        ("org.opencontainers.image.authors", asked.creator),
        ("org.opencontainers.image.source", asked.repository_url),
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
    work::renew(&layout)?;
    buildah.export(&image, &layout)?;
    Ok(Report::new())
}

/// What to build: the recipe that `prepare` has written, or else the source, and the file that says how.
fn context(work: &WorkArgs) -> Result<(PathBuf, PathBuf), Failure> {
    for folder in [work.recipe(), work.source()] {
        let is_there = fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.is_dir());
        if is_there && let Some((name, Kind::Containerfile)) = kind(&folder) {
            let file = folder.join(name);
            return Ok((folder, file));
        }
    }
    Err(Failure::unforeseen(format!("there is no {CONTAINERFILE} to build")))
}

/// A label's value: buildah expands nothing in it, but a line break would make a mess of every list of labels.
fn label(text: &str) -> String {
    crate::report::message(text)
}

/// buildah with storage and configuration of its own.
struct Buildah<'a> {
    args: &'a Args,
    settings: &'a Settings,
    home: &'a Path,
    outside: &'a Outside,
}

impl<'a> Buildah<'a> {
    fn new(args: &'a Args, settings: &'a Settings, home: &'a Path, outside: &'a Outside) -> Result<Self, Failure> {
        let mut registries = "unqualified-search-registries = [\"docker.io\"]\n".to_owned();
        for host in &settings.network.insecure_registries {
            // The configuration has taken it for a registry's name, which has no quotes in it.
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
        write().map_err(|error| Failure::unforeseen(format!("preparing buildah: {error}")))?;
        Ok(Self {
            args,
            settings,
            home,
            outside,
        })
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = child::bare(&self.args.buildah, self.home);
        self.outside.tell(&mut command);
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

    fn run(&self, command: &mut Command, log: Log) -> Result<Ended, Failure> {
        let limits = Limits {
            time: Duration::from_secs(self.args.timeout),
            kept: KEPT,
        };
        child::run(command, limits, b"", log, &mut child::unwatched).map_err(|error| match error {
            ChildError::TimedOut { .. } => Failure::new(Reason::BuildFailed, format!("the build {}", after(&error))),
            error => Failure::unforeseen(error.to_string()),
        })
    }

    /// A command that prints one line.
    fn ask(&self, command: &mut Command, what: &str) -> Result<String, Failure> {
        let ended = self.run(command, Log::Errors)?;
        if ended.status.success() {
            return Ok(String::from_utf8_lossy(&ended.stdout).trim().to_owned());
        }
        let why = trouble::told(&ended.stderr);
        Err(Failure::new(Reason::BuildFailed, format!("{what}: {why}")))
    }

    /// Brings the image to build on into the storage, under the name that it was asked for by, and gives its digest.
    fn bring(&self, layout: &Path, builder: &ImageReference) -> Result<String, Failure> {
        let base = base::read(layout, builder).map_err(|error| Failure::unforeseen(error.to_string()))?;
        // The image gets a name of the path, so the path has to be one that can be a name.
        let (folder, name) = layout
            .parent()
            .zip(layout.file_name())
            .ok_or_else(|| Failure::unforeseen("the image to build on lies in no folder"))?;
        let mut pull = self.command("pull");
        pull.current_dir(folder)
            .args(["--quiet", "--signature-policy"])
            .arg(self.home.join("policy.json"))
            .arg("--")
            .arg(format!("oci:{}", name.to_string_lossy()));
        let id = self.ask(&mut pull, "taking the image to build on")?;
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
        let name = name.map_err(|error| Failure::unforeseen(error.to_string()))?;
        let mut tag = self.command("tag");
        tag.args(["--", id, &name]);
        self.ask(&mut tag, "naming the image to build on")?;
        Ok(base.digest)
    }

    /// Builds, and gives the image's id.
    fn build(&self, context: &Path, file: &Path, labels: &[(&str, String)]) -> Result<String, Failure> {
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
        if let Some(authorities) = self.outside.authorities() {
            bud.arg("--volume")
                .arg(format!("{}:{AUTHORITIES}:ro", authorities.display()))
                .args(["--build-arg", &format!("PIP_CERT={AUTHORITIES}")]);
        }
        bud.arg("--").arg(context);
        let ended = self.run(&mut bud, Log::Everything)?;
        if !ended.status.success() {
            return Err(Failure::new(Reason::BuildFailed, trouble::told(&ended.stderr)));
        }
        let id = work::read(self.home, "id", 1024)
            .ok()
            .flatten()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| Failure::unforeseen("buildah has not said which image it built"))?;
        Ok(id.trim().trim_start_matches("sha256:").to_owned())
    }

    fn export(&self, image: &str, layout: &Path) -> Result<(), Failure> {
        let mut push = self.command("push");
        push.args(["--quiet", "--format", "oci", "--signature-policy"])
            .arg(self.home.join("policy.json"))
            .arg("--")
            .arg(image)
            .arg(format!("oci:{}:{TAG}", layout.display()));
        self.ask(&mut push, "writing the image").map(|_| ())
    }
}

fn after(error: &ChildError) -> String {
    match error {
        ChildError::TimedOut { time, .. } => format!("took longer than {} seconds", time.as_secs()),
        error => error.to_string(),
    }
}
