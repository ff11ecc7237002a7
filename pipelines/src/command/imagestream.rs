//! `imagestream create` and `imagestream update`: the first and the last step of every run.

use clap::Subcommand;
use cnbi_shared::config::Network;
use cnbi_shared::contract::{self, Reason, results, tasks};
use cnbi_shared::grammar::dns;

use super::Duty;
use crate::args::{RequestArgs, SettingsArgs};
use crate::failure::Failure;
use crate::report::Report;
use crate::stream::Owner;
use crate::stream::cluster::Cluster;

const REASONS: &[Reason] = &[
    Reason::ImageStreamCreateFailed,
    Reason::ImageStreamConflict,
    Reason::ImageStreamApiMissing,
];

pub(super) const CREATE: Duty = Duty {
    name: "imagestream create",
    tasks: &[
        (&contract::IMPORT, tasks::CREATE_IMAGE_STREAM),
        (&contract::PACKAGE_LIST, tasks::CREATE_IMAGE_STREAM),
        (&contract::GIT_REPOSITORY, tasks::CREATE_IMAGE_STREAM),
    ],
    reasons: REASONS,
    results: &[results::STREAM_UID],
};

pub(super) const UPDATE: Duty = Duty {
    name: "imagestream update",
    tasks: &[
        (&contract::IMPORT, tasks::UPDATE_IMAGE_STREAM),
        (&contract::PACKAGE_LIST, tasks::UPDATE_IMAGE_STREAM),
        (&contract::GIT_REPOSITORY, tasks::UPDATE_IMAGE_STREAM),
    ],
    reasons: REASONS,
    results: &[],
};

/// Which of the two.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Make the ImageStream, or say whose it is
    Create(OfStream),
    /// Say on the ImageStream what has come of the run
    Update(Update),
}

/// Arguments of `imagestream update`.
#[derive(Clone, Debug, clap::Args)]
pub struct Update {
    #[command(flatten)]
    stream: OfStream,
    /// Configuration for tasks, encoded: all items of the parameter `settings`. Without items, as in a run that started before an
    /// upgrade, no registry is insecure
    #[arg(long, num_args = 0.., value_name = "ITEM")]
    settings: Vec<String>,
}

/// Whose stream it is, and what it shows.
#[derive(Clone, Debug, clap::Args)]
pub struct OfStream {
    /// Namespace of the resource
    #[arg(long, value_name = "NAME")]
    resource_namespace: String,
    /// Name of the resource, and of its ImageStream
    #[arg(long, value_name = "NAME")]
    resource_name: String,
    /// The resource's uid
    #[arg(long, value_name = "UID")]
    resource_uid: String,
    /// The resource's generation that is built
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    resource_generation: i64,
    /// Namespace of the ImageStream
    #[arg(long, value_name = "NAME")]
    target_namespace: String,
    /// The tag of this build
    #[arg(long, value_name = "TAG")]
    tag: String,
    /// The run, in the namespace of this pod: `$(context.pipelineRun.name)`
    #[arg(long, value_name = "NAME")]
    run: String,
    #[command(flatten)]
    request: RequestArgs,
}

impl OfStream {
    fn owner(&self) -> Result<Owner, Failure> {
        let named = |flag: &str, name: &str, judged: Result<(), dns::NameError>| {
            judged.map_err(|error| Failure::usage(format!("{flag} {name:?} {error}")))
        };
        named(
            "--resource-namespace",
            &self.resource_namespace,
            dns::label(&self.resource_namespace),
        )?;
        named(
            "--resource-name",
            &self.resource_name,
            dns::subdomain(&self.resource_name),
        )?;
        named(
            "--target-namespace",
            &self.target_namespace,
            dns::label(&self.target_namespace),
        )?;
        named("--resource-uid", &self.resource_uid, dns::label(&self.resource_uid))?;
        let is_tag = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if self.tag.is_empty() || self.tag.len() > 128 || !self.tag.chars().all(is_tag) {
            return Err(Failure::usage(format!("--tag {:?} is no tag of an image", self.tag)));
        }
        named("--run", &self.run, dns::subdomain(&self.run))?;
        Ok(Owner {
            namespace: self.resource_namespace.clone(),
            name: self.resource_name.clone(),
            uid: self.resource_uid.clone(),
            generation: self.resource_generation,
            target: self.target_namespace.clone(),
            tag: self.tag.clone(),
        })
    }
}

impl Command {
    pub(super) fn duty(&self) -> &'static Duty {
        match self {
            Self::Create(_) => &CREATE,
            Self::Update(_) => &UPDATE,
        }
    }
}

pub(super) async fn run(command: &Command) -> Result<Report, Failure> {
    match command {
        Command::Create(of) => {
            let asked = of.request.read()?;
            let cluster = Cluster::connect(of.owner()?).await?;
            let uid = cluster.create(&of.run, &asked).await?;
            Ok(Report::new().with(results::STREAM_UID, uid))
        }
        Command::Update(Update { stream, settings }) => {
            let request = stream.request.read()?;
            let network = match settings.as_slice() {
                [] => Network::default(),
                items => {
                    SettingsArgs {
                        settings: items.to_vec(),
                    }
                    .read()?
                    .network
                }
            };
            let cluster = Cluster::connect(stream.owner()?).await?;
            cluster.update(&stream.run, &request, &network).await?;
            Ok(Report::new())
        }
    }
}
