//! `imagestream create` and `imagestream update`: the first and the last step of every run.

use clap::Subcommand;
use cnbi_shared::config::Network;
use cnbi_shared::contract::{self, Reason, results, tasks};
use cnbi_shared::grammar::dns;

use super::StepContract;
use crate::args::{RequestArgs, SettingsArgs};
use crate::error::StepError;
use crate::image_stream::Owner;
use crate::image_stream::client::ImageStreamClient;
use crate::report::Report;

const REASONS: &[Reason] = &[
    Reason::ImageStreamCreateFailed,
    Reason::ImageStreamConflict,
    Reason::ImageStreamApiMissing,
];

pub(super) const CREATE: StepContract = StepContract {
    name: "imagestream create",
    tasks: &[
        (&contract::IMPORT, tasks::CREATE_IMAGE_STREAM),
        (&contract::PACKAGE_LIST, tasks::CREATE_IMAGE_STREAM),
        (&contract::GIT_REPOSITORY, tasks::CREATE_IMAGE_STREAM),
    ],
    reasons: REASONS,
    results: &[results::STREAM_UID],
};

pub(super) const UPDATE: StepContract = StepContract {
    name: "imagestream update",
    tasks: &[
        (&contract::IMPORT, tasks::UPDATE_IMAGE_STREAM),
        (&contract::PACKAGE_LIST, tasks::UPDATE_IMAGE_STREAM),
        (&contract::GIT_REPOSITORY, tasks::UPDATE_IMAGE_STREAM),
    ],
    reasons: REASONS,
    results: &[],
};

/// What to write
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Create the ImageStream, or take it over from an earlier run of the resource
    Create(StreamArgs),
    /// Publish the result of the run in the ImageStream
    Update(Update),
}

/// Arguments of `imagestream update`.
#[derive(Clone, Debug, clap::Args)]
pub struct Update {
    #[command(flatten)]
    stream: StreamArgs,
    /// The admin's settings: all items of the parameter `settings`. Empty in runs that started before an upgrade
    #[arg(long, num_args = 0.., value_name = "ITEM")]
    settings: Vec<String>,
}

/// The resource and its ImageStream.
#[derive(Clone, Debug, clap::Args)]
pub struct StreamArgs {
    /// Namespace of the resource
    #[arg(long, value_name = "NAME")]
    resource_namespace: String,
    /// Name of the resource, and of its ImageStream
    #[arg(long, value_name = "NAME")]
    resource_name: String,
    /// Uid of the resource
    #[arg(long, value_name = "UID")]
    resource_uid: String,
    /// Generation of the resource
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    resource_generation: i64,
    /// Namespace of the ImageStream
    #[arg(long, value_name = "NAME")]
    target_namespace: String,
    /// Tag of this build
    #[arg(long, value_name = "TAG")]
    tag: String,
    /// Name of the PipelineRun in the namespace of this pod: `$(context.pipelineRun.name)`
    #[arg(long, value_name = "NAME")]
    run: String,
    #[command(flatten)]
    request: RequestArgs,
}

impl StreamArgs {
    fn owner(&self) -> Result<Owner, StepError> {
        let named = |flag: &str, name: &str, judged: Result<(), dns::NameError>| {
            judged.map_err(|error| StepError::usage(format!("{flag} {name:?} {error}")))
        };
        named(
            "--resource-namespace",
            &self.resource_namespace,
            dns::validate_label(&self.resource_namespace),
        )?;
        named(
            "--resource-name",
            &self.resource_name,
            dns::validate_subdomain(&self.resource_name),
        )?;
        named(
            "--target-namespace",
            &self.target_namespace,
            dns::validate_label(&self.target_namespace),
        )?;
        named(
            "--resource-uid",
            &self.resource_uid,
            dns::validate_label(&self.resource_uid),
        )?;
        let is_tag = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if self.tag.is_empty() || self.tag.len() > 128 || !self.tag.chars().all(is_tag) {
            return Err(StepError::usage(format!(
                "--tag {:?} is not a valid image tag",
                self.tag
            )));
        }
        named("--run", &self.run, dns::validate_subdomain(&self.run))?;
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
    pub(super) fn contract(&self) -> &'static StepContract {
        match self {
            Self::Create(_) => &CREATE,
            Self::Update(_) => &UPDATE,
        }
    }
}

pub(super) async fn run(command: &Command) -> Result<Report, StepError> {
    match command {
        Command::Create(of) => {
            let request = of.request.read()?;
            let cluster = ImageStreamClient::connect(of.owner()?).await?;
            let uid = cluster.create(&of.run, &request).await?;
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
            let cluster = ImageStreamClient::connect(stream.owner()?).await?;
            cluster.update(&stream.run, &request, &network).await?;
            Ok(Report::new())
        }
    }
}
