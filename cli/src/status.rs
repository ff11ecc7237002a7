//! `kubectl cnbi status`: the progress of builds and the cause of failures, without knowledge of Tekton.
//!
//! [`render`] and [`table`] are pure functions of a snapshot and the time; [`watch`] calls them repeatedly.

pub mod render;
mod steps;
pub mod summary;
mod table;
mod watch;

use clap::{Args, ValueEnum};
use cnbi_shared::api::status::Phase;
use cnbi_shared::api::{BuildType, CustomNBImage};
use jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ListParams};
use serde_json::json;

use super::connection::{CliError, ClusterArgs, Connection, block_on, is_missing};
use super::task_runs::{self, State, TaskRun};
use super::terminal::{self, Size, sanitize};
use super::{FAILURE, SUCCESS, fail};

const EXAMPLES: &str = "\
Examples:
  # all resources of the namespace
  kubectl cnbi status

  # one resource with its tasks, its conditions and the end of the log of a failed step
  kubectl cnbi status pandas-notebook

  # wait until it is Ready or Failed
  kubectl cnbi status pandas-notebook --watch

Exit status:
  0  success; with --watch and a name, the image is ready
  1  with --watch and a name, the build failed or the resource was deleted
  2  invalid arguments, or the cluster cannot be read";

/// Show the progress of builds, and why a build failed
///
/// With a name: tasks and their durations, conditions, the end of the log of a failed step, the image and the ImageStreamTag.
/// Without a name: one line per resource.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    /// Name of a CustomNBImage
    pub name: Option<String>,

    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// Show resources of all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["name", "namespace"])]
    pub all_namespaces: bool,

    /// Keep watching: redraws on a terminal, prints a line per change elsewhere; with a name, ends when it is Ready or Failed
    #[arg(short, long, conflicts_with = "output")]
    pub watch: bool,

    /// Print the resources like kubectl get
    #[arg(short, long, value_enum)]
    pub output: Option<Output>,
}

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// The object, or a List, in JSON
    Json,
    /// The object, or a List, in YAML
    Yaml,
    /// Kind and name, one per line
    Name,
}

/// Everything that the detailed status shows.
#[derive(Clone, Debug)]
pub struct View {
    /// The resource.
    pub resource: CustomNBImage,
    /// The TaskRuns of its PipelineRun, or why they cannot be read. Empty without a PipelineRun.
    pub tasks: Result<Vec<TaskRun>, String>,
    /// The end of the log of the failed step, sanitized, or why it cannot be read.
    pub log: Option<Result<Vec<String>, String>>,
}

/// Lines to read from the end of a log.
const TAIL: usize = 20;

/// Runs the subcommand. Returns the exit status.
pub fn run(args: &StatusArgs) -> u8 {
    let task = async {
        let connection = args.cluster.connect().await?;
        if args.watch {
            return watch::run(&connection, args).await;
        }
        print_once(&connection, args).await
    };
    block_on(task).unwrap_or_else(|error| fail(&error))
}

/// The API of resources in the connection's namespace, or in all namespaces.
pub fn resources(connection: &Connection, all_namespaces: bool) -> Api<CustomNBImage> {
    if all_namespaces {
        Api::all(connection.client.clone())
    } else {
        Api::namespaced(connection.client.clone(), &connection.namespace)
    }
}

/// Reads one resource.
///
/// # Errors
/// It does not exist or cannot be read.
pub async fn get(connection: &Connection, name: &str) -> Result<CustomNBImage, CliError> {
    let what = format!("CustomNBImage {}/{name}", connection.namespace);
    resources(connection, false)
        .get(name)
        .await
        .map_err(|error| api_error(&what, &error))
}

/// Describes an API error. A 404 without an object name means that the CRD is not installed.
pub fn api_error(what: &str, error: &kube::Error) -> CliError {
    let has_kind = match error {
        kube::Error::Api(status) => status.details.as_ref().is_some_and(|details| !details.name.is_empty()),
        _ => true,
    };
    if is_missing(error) && !has_kind {
        return CliError(format!(
            "{what}: CNBi is not installed in this cluster (no CustomResourceDefinition customnbimages.meteor.zone)"
        ));
    }
    CliError::api(what, error)
}

async fn print_once(connection: &Connection, args: &StatusArgs) -> Result<u8, CliError> {
    if let Some(output) = args.output {
        return print_objects(connection, args, output).await;
    }
    let size = Size::of_stdout();
    let text = if let Some(name) = &args.name {
        let view = View::gather(&connection.client, get(connection, name).await?).await;
        render::render(&view, Timestamp::now(), size)
    } else {
        let list = list(connection, args.all_namespaces).await?;
        let columns = terminal::is_terminal().then_some(size.width);
        table::render(&list, args.all_namespaces, Timestamp::now(), columns)
    };
    terminal::print(&text);
    Ok(SUCCESS)
}

async fn list(connection: &Connection, all_namespaces: bool) -> Result<Vec<CustomNBImage>, CliError> {
    let list = resources(connection, all_namespaces)
        .list(&ListParams::default())
        .await
        .map_err(|error| api_error("list of CustomNBImages", &error))?;
    Ok(list.items)
}

async fn print_objects(connection: &Connection, args: &StatusArgs, output: Output) -> Result<u8, CliError> {
    let objects = match &args.name {
        Some(name) => vec![get(connection, name).await?],
        None => list(connection, args.all_namespaces).await?,
    };
    let unprintable = |error: &dyn std::fmt::Display| CliError(format!("cannot serialize the resource: {error}"));
    let value = || match (&args.name, objects.as_slice()) {
        (Some(_), [object]) => json!(object),
        _ => json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": objects}),
    };
    let text = match output {
        Output::Json => serde_json::to_string_pretty(&value()).map_err(|error| unprintable(&error))? + "\n",
        Output::Yaml => serde_saphyr::to_string(&value()).map_err(|error| unprintable(&error))?,
        Output::Name => {
            let names = objects.iter().filter_map(|object| object.metadata.name.as_deref());
            let lines = names.map(|name| format!("customnbimage.meteor.zone/{}", sanitize(name)));
            lines.collect::<Vec<_>>().join("\n") + "\n"
        }
    };
    Ok(if terminal::print(&text) { SUCCESS } else { FAILURE })
}

/// Whether the current generation is Ready (`true`) or Failed (`false`). `None` while it is in progress.
fn succeeded(resource: &CustomNBImage) -> Option<bool> {
    let status = resource.status.as_ref()?;
    let is_current = status.observed_generation == resource.metadata.generation;
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready")?;
    match status.phase {
        _ if !is_current => None,
        Some(Phase::Ready) if ready.status == "True" => Some(true),
        Some(Phase::Failed) => Some(false),
        _ => None,
    }
}

/// The build type, if it is valid.
fn build_type(resource: &CustomNBImage) -> Option<BuildType> {
    resource.spec.build_type()
}

impl View {
    /// Reads TaskRuns and the log of a failed step.
    pub async fn gather(client: &Client, resource: CustomNBImage) -> Self {
        let run = resource.status.as_ref().and_then(|status| status.pipeline_run.as_ref());
        let location = run.and_then(|run| Some((run.namespace.clone()?, run.name.clone()?)));
        let Some((namespace, name)) = location else {
            return Self {
                resource,
                tasks: Ok(Vec::new()),
                log: None,
            };
        };
        let tasks = task_runs::list(client, &namespace, &name).await;
        let mut view = Self {
            resource,
            tasks,
            log: None,
        };
        if let Some((pod, container)) = view.failed_container() {
            view.log = Some(task_runs::log_tail(client, &namespace, &pod, &container, TAIL).await);
        }
        view
    }

    /// The TaskRun that the status names as failed, or else the first failed one.
    pub fn failed_task(&self) -> Option<&TaskRun> {
        let tasks = self.tasks.as_ref().ok()?;
        let run = self.resource.status.as_ref()?.pipeline_run.as_ref();
        let failed_task = run.and_then(|run| run.failed_task.as_deref());
        let has_failed = |task: &&TaskRun| task.state == State::Failed;
        let of_name = tasks
            .iter()
            .filter(has_failed)
            .find(|task| Some(task.task.as_str()) == failed_task);
        of_name.or_else(|| tasks.iter().find(has_failed))
    }

    fn failed_container(&self) -> Option<(String, String)> {
        let task = self.failed_task()?;
        let step = task.failed_step().or_else(|| task.steps.last())?;
        Some((task.pod.clone()?, step.container.clone()))
    }
}
