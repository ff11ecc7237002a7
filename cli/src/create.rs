//! `kubectl cnbi create`: a manifest from a few words, judged before anybody sees it.

mod manifest;
mod requirements;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use cnbi_shared::api::KIND;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};

use super::connection::{ClusterArgs, Problem, block_on};
use super::terminal::{self, safe};
use super::{DONE, FOUND, UNUSABLE, give_up};
use crate::check::{self, Check, Settings};

const EXAMPLES: &str = "\
Examples:
  # an image that exists, from a registry that asks for credentials
  kubectl cnbi create import my-notebook --image quay.io/team/notebook:v1.2 --pull-secret quay

  # packages on an image of the catalog, as a manifest for Git
  kubectl cnbi create packages pandas-notebook --os ubi --os-version 9 --python 3.11 pandas 'boto3>=1.24.0' -o yaml

  # the packages of a requirements.txt
  kubectl cnbi create packages my-notebook --builder-image quay.io/team/base:v3 -r requirements.txt

  # a repository
  kubectl cnbi create git tutorial --url https://github.com/AICoE/elyra-aidevsecops-tutorial --ref master

Exit status:
  0  it was created, or printed
  1  it would be refused, and nothing was done
  2  it could not be done";

/// Create a resource from a few words, or write its manifest
///
/// It is judged as the webhook would judge it before anything is done. Without -o it is created on the cluster.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CreateArgs {
    #[command(subcommand)]
    pub what: What,
}

/// What is to be built.
#[derive(Clone, Debug, Subcommand)]
pub enum What {
    /// Import an image that exists
    Import(ImportArgs),
    /// Install packages on an image
    Packages(PackagesArgs),
    /// Build a Git repository
    Git(GitArgs),
}

/// What every resource has.
#[derive(Clone, Debug, Args)]
pub struct CommonArgs {
    /// Name of the resource, and of its ImageStream
    pub name: String,

    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// Name that users see; without it, the name of the resource
    #[arg(long, value_name = "TEXT")]
    pub display_name: Option<String>,

    /// What users are told of the image
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,

    /// Namespace of the ImageStream, where it is not the configured one
    #[arg(long, value_name = "NAMESPACE")]
    pub target_namespace: Option<String>,

    /// Secret in the resource's namespace with credentials for the image's registry
    #[arg(long, value_name = "SECRET")]
    pub pull_secret: Option<String>,

    /// The cluster's policy, for the judgement beforehand: a config.yaml or the manifest of its ConfigMap
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print the manifest, and create nothing
    #[arg(short, long, value_enum)]
    pub output: Option<Output>,
}

/// Form of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// YAML
    Yaml,
    /// JSON
    Json,
}

/// An import.
#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
    #[command(flatten)]
    pub common: CommonArgs,

    /// The image, with a tag or a digest
    #[arg(long, value_name = "IMAGE")]
    pub image: String,
}

/// A package list.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("from").required(true).args(["builder_image", "os"]))]
#[command(group = ArgGroup::new("list").required(true).multiple(true).args(["packages", "requirements"]))]
pub struct PackagesArgs {
    #[command(flatten)]
    pub common: CommonArgs,

    /// Requirements, such as pandas or 'boto3>=1.24.0'
    #[arg(value_name = "PACKAGE")]
    pub packages: Vec<String>,

    /// A file of requirements, one a line; `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    pub requirements: Option<PathBuf>,

    /// The image to build on
    #[arg(long, value_name = "IMAGE")]
    pub builder_image: Option<String>,

    /// Or else one of the catalog: its operating system
    #[arg(long, value_name = "NAME", requires_all = ["os_version", "python"])]
    pub os: Option<String>,

    /// Version of the operating system
    #[arg(long, value_name = "VERSION", requires = "os")]
    pub os_version: Option<String>,

    /// Version of Python
    #[arg(long, value_name = "VERSION", requires = "os")]
    pub python: Option<String>,
}

/// A repository.
#[derive(Clone, Debug, Args)]
pub struct GitArgs {
    #[command(flatten)]
    pub common: CommonArgs,

    /// Clone URL, https or ssh
    #[arg(long, value_name = "URL")]
    pub url: String,

    /// Branch, tag or commit; without it, the default branch
    #[arg(long, value_name = "REF")]
    pub r#ref: Option<String>,

    /// The image to build on, for a repository that names none
    #[arg(long, value_name = "IMAGE")]
    pub builder_image: Option<String>,
}

/// Creates, or prints. The exit status.
pub fn run(args: &CreateArgs) -> u8 {
    match create(args) {
        Ok(status) => status,
        Err(problem) => give_up(&problem),
    }
}

fn create(args: &CreateArgs) -> Result<u8, Problem> {
    let common = match &args.what {
        What::Import(args) => &args.common,
        What::Packages(args) => &args.common,
        What::Git(args) => &args.common,
    };
    let manifest = manifest::manifest(&args.what)?;
    let settings = Settings {
        config: common
            .config
            .as_deref()
            .map(check::read_config)
            .transpose()
            .map_err(Problem)?,
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
        terminal::complain(&format!(
            "{} {} {}: {}{hint}",
            finding.level, finding.rule, finding.path, finding.message
        ));
    }
    if !report.is_allowed() || report.checked != 1 {
        return Ok(FOUND);
    }
    if let Some(output) = common.output {
        let text = match output {
            Output::Yaml => manifest,
            Output::Json => serde_json::to_string_pretty(&object(&manifest)?).unwrap_or_default() + "\n",
        };
        return Ok(if terminal::print(&text) { DONE } else { UNUSABLE });
    }
    block_on(apply(common, &manifest))
}

fn object(manifest: &str) -> Result<DynamicObject, Problem> {
    serde_saphyr::from_str(manifest).map_err(|error| Problem(format!("the manifest cannot be read: {error}")))
}

async fn apply(common: &CommonArgs, manifest: &str) -> Result<u8, Problem> {
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
            let (name, namespace) = (safe(&common.name), safe(&connection.namespace));
            terminal::print(&format!(
                "customnbimage.meteor.zone/{name} created\nhow it goes on: kubectl cnbi status {name} -n {namespace} --watch\n"
            ));
            Ok(DONE)
        }
        // The webhook knows more than can be known without a cluster.
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 409 | 422) => {
            // Several findings are a list, a line each.
            for line in status.message.lines().filter(|line| !line.trim().is_empty()) {
                terminal::complain(line);
            }
            Ok(FOUND)
        }
        Err(error) => Err(Problem::of(&what, &error)),
    }
}
