//! `kubectl cnbi create`: builds a manifest from options, checks it, and creates or prints it.

mod manifest;
mod requirements;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use cnbi_shared::api::KIND;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};

use super::connection::{CliError, ClusterArgs, block_on};
use super::terminal::{self, sanitize};
use super::{FAILURE, FINDINGS, SUCCESS, fail};
use crate::check::{self, Check, Settings};

const EXAMPLES: &str = "\
Examples:
  # import an image from a registry that requires credentials
  kubectl cnbi create import my-notebook --image quay.io/team/notebook:v1.2 --pull-secret quay

  # packages on a supported runtime environment, as a manifest for Git
  kubectl cnbi create packages pandas-notebook --os ubi --os-version 9 --python 3.11 pandas 'boto3>=1.24.0' -o yaml

  # the packages of a requirements.txt
  kubectl cnbi create packages my-notebook --builder-image quay.io/team/base:v3 -r requirements.txt

  # build a repository
  kubectl cnbi create git tutorial --url https://github.com/AICoE/elyra-aidevsecops-tutorial --ref master

Exit status:
  0  created or printed
  1  rejected; nothing was created
  2  invalid arguments, or the cluster cannot be reached";

/// Create a resource from options, or print its manifest
///
/// The manifest is checked with the rules of the webhook first. Without -o, the resource is created in the cluster.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CreateArgs {
    #[command(subcommand)]
    pub what: CreateCommand,
}

/// One subcommand per build type.
#[derive(Clone, Debug, Subcommand)]
pub enum CreateCommand {
    /// Import an existing image
    Import(ImportArgs),
    /// Install Python packages on an image
    Packages(PackagesArgs),
    /// Build a Git repository
    Git(GitArgs),
}

/// Options of all build types.
#[derive(Clone, Debug, Args)]
pub struct CommonArgs {
    /// Name of the resource and of its ImageStream
    pub name: String,

    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// Display name [default: the name of the resource]
    #[arg(long, value_name = "TEXT")]
    pub display_name: Option<String>,

    /// Description of the image for users
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,

    /// Namespace of the ImageStream [default: the configured target namespace]
    #[arg(long, value_name = "NAMESPACE")]
    pub target_namespace: Option<String>,

    /// Pull secret for the registry of the image, in the namespace of the resource
    #[arg(long, value_name = "SECRET")]
    pub pull_secret: Option<String>,

    /// Configuration of the cluster for the check: config.yaml, or a manifest of the ConfigMap cnbi-config
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print the manifest instead of creating the resource
    #[arg(short, long, value_enum)]
    pub output: Option<Output>,
}

/// Format of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// YAML
    Yaml,
    /// JSON
    Json,
}

/// Options of an ImageImport.
#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
    #[command(flatten)]
    pub common: CommonArgs,

    /// Image with a tag or a digest
    #[arg(long, value_name = "IMAGE")]
    pub image: String,
}

/// Options of a PackageList.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("from").required(true).args(["builder_image", "os"]))]
#[command(group = ArgGroup::new("list").required(true).multiple(true).args(["packages", "requirements"]))]
pub struct PackagesArgs {
    #[command(flatten)]
    pub common: CommonArgs,

    /// Package requirements, such as pandas or 'boto3>=1.24.0'
    #[arg(value_name = "PACKAGE")]
    pub packages: Vec<String>,

    /// requirements.txt; `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    pub requirements: Option<PathBuf>,

    /// Base image
    #[arg(long, value_name = "IMAGE")]
    pub builder_image: Option<String>,

    /// Operating system of a supported runtime environment
    #[arg(long, value_name = "NAME", requires_all = ["os_version", "python"])]
    pub os: Option<String>,

    /// Version of the operating system
    #[arg(long, value_name = "VERSION", requires = "os")]
    pub os_version: Option<String>,

    /// Version of Python
    #[arg(long, value_name = "VERSION", requires = "os")]
    pub python: Option<String>,
}

/// Options of a GitRepository.
#[derive(Clone, Debug, Args)]
pub struct GitArgs {
    #[command(flatten)]
    pub common: CommonArgs,

    /// Clone URL (https or ssh)
    #[arg(long, value_name = "URL")]
    pub url: String,

    /// Branch, tag or commit [default: the default branch]
    #[arg(long, value_name = "REF")]
    pub r#ref: Option<String>,

    /// Base image, if the repository does not name one
    #[arg(long, value_name = "IMAGE")]
    pub builder_image: Option<String>,
}

/// Runs the subcommand. Returns the exit status.
pub fn run(args: &CreateArgs) -> u8 {
    match create(args) {
        Ok(status) => status,
        Err(error) => fail(&error),
    }
}

fn create(args: &CreateArgs) -> Result<u8, CliError> {
    let common = match &args.what {
        CreateCommand::Import(args) => &args.common,
        CreateCommand::Packages(args) => &args.common,
        CreateCommand::Git(args) => &args.common,
    };
    let manifest = manifest::manifest(&args.what)?;
    let settings = Settings {
        config: common
            .config
            .as_deref()
            .map(check::read_config)
            .transpose()
            .map_err(CliError)?,
        namespace: common.cluster.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        ..Settings::default()
    };
    let mut check = Check::new(&settings);
    check.add("manifest", &manifest);
    let report = check.finish();
    let findings = report.documents.iter().flat_map(|document| &document.findings);
    for finding in findings {
        let hint = finding
            .hint
            .as_deref()
            .map(|hint| format!("; {hint}"))
            .unwrap_or_default();
        terminal::print_error(&format!(
            "{} {} {}: {}{hint}",
            finding.level, finding.rule, finding.path, finding.message
        ));
    }
    if !report.is_allowed() || report.checked != 1 {
        return Ok(FINDINGS);
    }
    if let Some(output) = common.output {
        let text = match output {
            Output::Yaml => manifest,
            Output::Json => serde_json::to_string_pretty(&object(&manifest)?).unwrap_or_default() + "\n",
        };
        return Ok(if terminal::print(&text) { SUCCESS } else { FAILURE });
    }
    block_on(apply(common, &manifest))
}

fn object(manifest: &str) -> Result<DynamicObject, CliError> {
    serde_saphyr::from_str(manifest).map_err(|error| CliError(format!("the manifest cannot be read: {error}")))
}

async fn apply(common: &CommonArgs, manifest: &str) -> Result<u8, CliError> {
    let connection = common.cluster.connect().await?;
    let kind = GroupVersionKind::gvk("meteor.zone", "v1alpha1", KIND);
    let kind = ApiResource::from_gvk_with_plural(&kind, "customnbimages");
    let api: Api<DynamicObject> = Api::namespaced_with(connection.client.clone(), &connection.namespace, &kind);
    let params = PostParams {
        field_manager: Some("kubectl-cnbi".to_owned()),
        ..PostParams::default()
    };
    let what = format!("{}/{}", connection.namespace, common.name);
    match api.create(&params, &object(manifest)?).await {
        Ok(_) => {
            let (name, namespace) = (sanitize(&common.name), sanitize(&connection.namespace));
            terminal::print(&format!(
                "customnbimage.meteor.zone/{name} created\nTo watch the build, run: kubectl cnbi status {name} -n {namespace} --watch\n"
            ));
            Ok(SUCCESS)
        }
        // The webhook also checks rules that need the cluster.
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 409 | 422) => {
            // The message has one finding per line.
            for line in status.message.lines().filter(|line| !line.trim().is_empty()) {
                terminal::print_error(line);
            }
            Ok(FINDINGS)
        }
        Err(error) => Err(CliError::api(&what, &error)),
    }
}
