//! `kubectl cnbi status`: where a build is, and why it failed, for people who do not know Tekton.
//!
//! [`render`] is pure: what was seen and the time in, text out. [`watch`] draws it again and again.

pub mod render;
mod steps;
mod table;
mod watch;
pub mod words;

use clap::{Args, ValueEnum};
use cnbi_shared::api::status::Phase;
use cnbi_shared::api::{BuildType, CustomNBImage};
use jiff::Timestamp;
use kube::Client;
use kube::api::{Api, ListParams};
use serde_json::json;

use super::connection::{ClusterArgs, Connection, Problem, block_on, is_missing};
use super::runs::{self, State, TaskRun};
use super::terminal::{self, Size, safe};
use super::{DONE, UNUSABLE, give_up};

const EXAMPLES: &str = "\
Examples:
  # all resources of the namespace
  kubectl cnbi status

  # one of them: its steps, what its conditions say, the end of the log of what failed
  kubectl cnbi status pandas-notebook

  # until it is Ready or Failed
  kubectl cnbi status pandas-notebook --watch

Exit status:
  0  it was told; with --watch and a name, the image is ready
  1  with --watch and a name, the build failed
  2  it could not be told";

/// Tell where builds are, and why one failed
///
/// With a name: its steps and how long they took, what its conditions say in words, the end of the log of the step that
/// failed, the image and the ImageStream. Without: one line for each resource.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    /// Name of a CustomNBImage
    pub name: Option<String>,

    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// Resources of all namespaces
    #[arg(short = 'A', long, conflicts_with_all = ["name", "namespace"])]
    pub all_namespaces: bool,

    /// Go on telling: redrawn on a terminal, a line for each change elsewhere; with a name, until it is Ready or Failed
    #[arg(short, long, conflicts_with = "output")]
    pub watch: bool,

    /// The resources themselves, as kubectl prints them
    #[arg(short, long, value_enum)]
    pub output: Option<Output>,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// The object, or a List
    Json,
    /// The same in YAML
    Yaml,
    /// Kind and name, a line each
    Name,
}

/// All that is told of one resource.
#[derive(Clone, Debug)]
pub struct View {
    /// The resource.
    pub resource: CustomNBImage,
    /// Its run's TaskRuns, or why they cannot be seen; empty where there is no run.
    pub tasks: Result<Vec<TaskRun>, String>,
    /// The end of the log of the step that failed, safe to print, or why it cannot be seen.
    pub log: Option<Result<Vec<String>, String>>,
}

/// Most lines of a log's end that are ever shown.
const TAIL: usize = 20;

/// Tells what the arguments ask for. The exit status.
pub fn run(args: &StatusArgs) -> u8 {
    let task = async {
        let connection = args.cluster.connect().await?;
        if args.watch {
            return watch::run(&connection, args).await;
        }
        tell(&connection, args).await
    };
    block_on(task).unwrap_or_else(|problem| give_up(&problem))
}

/// Resources of the namespace that was asked for, or of all.
pub fn resources(connection: &Connection, all_namespaces: bool) -> Api<CustomNBImage> {
    if all_namespaces {
        Api::all(connection.client.clone())
    } else {
        Api::namespaced(connection.client.clone(), &connection.namespace)
    }
}

/// One resource.
///
/// # Errors
/// There is none of that name, or it cannot be read.
pub async fn one(connection: &Connection, name: &str) -> Result<CustomNBImage, Problem> {
    let what = format!("CustomNBImage {}/{name}", connection.namespace);
    resources(connection, false)
        .get(name)
        .await
        .map_err(|error| unserved(&what, &error))
}

/// An answer of 404 may mean that the cluster does not know the kind at all.
pub fn unserved(what: &str, error: &kube::Error) -> Problem {
    let has_kind = match error {
        kube::Error::Api(status) => status.details.as_ref().is_some_and(|details| !details.name.is_empty()),
        _ => true,
    };
    if is_missing(error) && !has_kind {
        return Problem(format!(
            "{what}: this cluster knows no CustomNBImages; ask its admin to install CNBi"
        ));
    }
    Problem::of(what, error)
}

async fn tell(connection: &Connection, args: &StatusArgs) -> Result<u8, Problem> {
    if let Some(output) = args.output {
        return print_objects(connection, args, output).await;
    }
    let size = Size::of_stdout();
    let text = if let Some(name) = &args.name {
        let view = View::gather(&connection.client, one(connection, name).await?).await;
        render::render(&view, Timestamp::now(), size)
    } else {
        let list = all(connection, args.all_namespaces).await?;
        let width = if terminal::is_watched() { size.width } else { usize::MAX };
        table::render(&list, args.all_namespaces, Timestamp::now(), width)
    };
    terminal::print(&text);
    Ok(DONE)
}

async fn all(connection: &Connection, all_namespaces: bool) -> Result<Vec<CustomNBImage>, Problem> {
    let list = resources(connection, all_namespaces)
        .list(&ListParams::default())
        .await
        .map_err(|error| unserved("the list of CustomNBImages", &error))?;
    Ok(list.items)
}

async fn print_objects(connection: &Connection, args: &StatusArgs, output: Output) -> Result<u8, Problem> {
    let objects = match &args.name {
        Some(name) => vec![one(connection, name).await?],
        None => all(connection, args.all_namespaces).await?,
    };
    let unprintable = |error: &dyn std::fmt::Display| Problem(format!("this cannot be printed: {error}"));
    let value = || match (&args.name, objects.as_slice()) {
        (Some(_), [object]) => json!(object),
        _ => json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": objects}),
    };
    let text = match output {
        Output::Json => serde_json::to_string_pretty(&value()).map_err(|error| unprintable(&error))? + "\n",
        Output::Yaml => serde_saphyr::to_string(&value()).map_err(|error| unprintable(&error))?,
        Output::Name => {
            let names = objects.iter().filter_map(|object| object.metadata.name.as_deref());
            let lines = names.map(|name| format!("customnbimage.meteor.zone/{}", safe(name)));
            lines.collect::<Vec<_>>().join("\n") + "\n"
        }
    };
    Ok(if terminal::print(&text) { DONE } else { UNUSABLE })
}

/// How it has come out, once it has: whether well.
fn outcome(resource: &CustomNBImage) -> Option<bool> {
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

/// The build type, where the resource names a legal one.
fn build_type(resource: &CustomNBImage) -> Option<BuildType> {
    resource.spec.build_type()
}

impl View {
    /// Reads what there is to tell beside the resource itself.
    pub async fn gather(client: &Client, resource: CustomNBImage) -> Self {
        let run = resource.status.as_ref().and_then(|status| status.pipeline_run.as_ref());
        let place = run.and_then(|run| Some((run.namespace.clone()?, run.name.clone()?)));
        let Some((namespace, name)) = place else {
            return Self {
                resource,
                tasks: Ok(Vec::new()),
                log: None,
            };
        };
        let tasks = runs::of_run(client, &namespace, &name).await;
        let mut view = Self {
            resource,
            tasks,
            log: None,
        };
        if let Some((pod, container)) = view.failed_container() {
            view.log = Some(runs::end_of_log(client, &namespace, &pod, &container, TAIL).await);
        }
        view
    }

    /// The TaskRun that the status blames, or else the first that failed.
    pub fn failed_task(&self) -> Option<&TaskRun> {
        let tasks = self.tasks.as_ref().ok()?;
        let run = self.resource.status.as_ref()?.pipeline_run.as_ref();
        let blamed = run.and_then(|run| run.failed_task.as_deref());
        let has_failed = |task: &&TaskRun| task.state == State::Failed;
        let of_name = tasks
            .iter()
            .filter(has_failed)
            .find(|task| Some(task.task.as_str()) == blamed);
        of_name.or_else(|| tasks.iter().find(has_failed))
    }

    fn failed_container(&self) -> Option<(String, String)> {
        let task = self.failed_task()?;
        let step = task.failed_step().or_else(|| task.steps.last())?;
        Some((task.pod.clone()?, step.container.clone()))
    }
}
