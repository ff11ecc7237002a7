//! `kubectl cnbi logs`: the logs of all steps of a build in order, sanitized by [`super::terminal`].

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use cnbi_shared::api::CustomNBImage;
use futures::{AsyncBufReadExt as _, AsyncReadExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, LogParams};

use super::connection::{CliError, ClusterArgs, Connection, block_on};
use super::status::{get, resources};
use super::task_runs::{self, State, Step, TaskRun};
use super::terminal::{self, sanitize, sanitize_log_line, styled, styles};
use super::{FAILURE, SUCCESS, fail};

/// How often `--follow` checks for new steps.
const POLL: Duration = Duration::from_secs(1);

/// Maximum bytes of a line; longer lines are split.
const LINE: u64 = 16 * 1024;

const EXAMPLES: &str = "\
Examples:
  # the log so far
  kubectl cnbi logs pandas-notebook

  # follow the log until the build ends
  kubectl cnbi logs pandas-notebook -f

Exit status:
  0  the log was printed
  2  invalid arguments, or no log can be read";

/// Print the logs of a build's steps in order
///
/// Shows the PipelineRun in the resource's status. Logs are deleted together with the pods of finished runs; the pod of a
/// failed task is kept.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct LogsArgs {
    /// Name of a CustomNBImage
    pub name: String,

    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// Follow the log until the build ends
    #[arg(short, long)]
    pub follow: bool,

    /// Print only this task, for example build
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,

    /// Print only the last lines of each step
    #[arg(long, value_name = "LINES")]
    pub tail: Option<u32>,
}

/// Runs the subcommand. Returns the exit status.
pub fn run(args: &LogsArgs) -> u8 {
    let task = async {
        let connection = args.cluster.connect().await?;
        LogPrinter {
            connection: &connection,
            args,
            printed: BTreeSet::new(),
            has_output: false,
        }
        .run()
        .await
    };
    block_on(task).unwrap_or_else(|error| fail(&error))
}

struct LogPrinter<'a> {
    connection: &'a Connection,
    args: &'a LogsArgs,
    /// Task and container names of finished logs.
    printed: BTreeSet<(String, String)>,
    has_output: bool,
}

/// False if stdout is closed.
type IsOpen = bool;

impl LogPrinter<'_> {
    async fn run(mut self) -> Result<u8, CliError> {
        let client = &self.connection.client;
        let resource = get(self.connection, &self.args.name).await?;
        let (namespace, name) = self.pipeline_run(resource).await?;
        loop {
            // Read before the list of TaskRuns, so that the last list is complete.
            let has_ended = !self.args.follow || self.has_ended(&name).await?;
            let tasks = task_runs::list(client, &namespace, &name)
                .await
                .map_err(|why| CliError(format!("PipelineRun {namespace}/{name}: {why}")))?;
            let tasks = tasks.iter().filter(|task| self.is_selected(task));
            for task in tasks.collect::<Vec<_>>() {
                if !self.print_task(&namespace, task).await? {
                    return Ok(SUCCESS);
                }
            }
            if has_ended {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        if !self.has_output {
            terminal::print_error(&format!("PipelineRun {namespace}/{name} has no logs"));
            return Ok(FAILURE);
        }
        Ok(SUCCESS)
    }

    fn is_selected(&self, task: &TaskRun) -> bool {
        self.args.task.as_ref().is_none_or(|wanted| *wanted == task.task)
    }

    /// Namespace and name of the PipelineRun. With `--follow`, waits until it exists.
    async fn pipeline_run(&self, mut resource: CustomNBImage) -> Result<(String, String), CliError> {
        loop {
            let run = resource.status.as_ref().and_then(|status| status.pipeline_run.as_ref());
            if let Some((namespace, name)) = run.and_then(|run| Some((run.namespace.clone()?, run.name.clone()?))) {
                return Ok((namespace, name));
            }
            let is_failed = resource.status.as_ref().and_then(|status| status.phase)
                == Some(cnbi_shared::api::status::Phase::Failed);
            if !self.args.follow || is_failed {
                return Err(CliError(format!(
                    "{name} has no PipelineRun yet; for the reason run: kubectl cnbi status {name} -n {}",
                    self.connection.namespace,
                    name = self.args.name
                )));
            }
            tokio::time::sleep(POLL).await;
            resource = get(self.connection, &self.args.name).await?;
        }
    }

    /// Whether the run has ended according to the status.
    async fn has_ended(&self, run: &str) -> Result<bool, CliError> {
        let resource = resources(self.connection, false)
            .get_opt(&self.args.name)
            .await
            .map_err(|error| CliError::api(&self.args.name, &error))?;
        let status = resource.and_then(|resource| resource.status);
        Ok(status
            .and_then(|status| status.pipeline_run)
            .is_none_or(|now| now.name.as_deref() != Some(run) || now.completion_time.is_some()))
    }

    async fn print_task(&mut self, namespace: &str, task: &TaskRun) -> Result<IsOpen, CliError> {
        for step in &task.steps {
            let key = (task.task.clone(), step.container.clone());
            if step.state == State::Waiting || self.printed.contains(&key) {
                continue;
            }
            let Some(pod) = &task.pod else { continue };
            let title = format!("--- {}, step {}", sanitize(&task.task), sanitize(&step.name));
            if !terminal::print(&format!("{}\n", styled(styles::TITLE, &title))) {
                return Ok(false);
            }
            if !self.stream(namespace, pod, step).await {
                return Ok(false);
            }
            self.printed.insert(key);
        }
        Ok(true)
    }

    async fn stream(&mut self, namespace: &str, pod: &str, step: &Step) -> IsOpen {
        let pods: Api<Pod> = Api::namespaced(Client::clone(&self.connection.client), namespace);
        let params = LogParams {
            container: Some(step.container.clone()),
            follow: self.args.follow && step.state == State::Running,
            tail_lines: self.args.tail.map(i64::from),
            ..LogParams::default()
        };
        let stream = match pods.log_stream(pod, &params).await {
            Ok(stream) => stream,
            Err(error) => {
                terminal::print_error(&task_runs::log_error(&error, namespace, pod));
                return true;
            }
        };
        self.has_output = true;
        let mut stream = pin!(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            // The length of a line is limited to bound memory.
            match (&mut stream).take(LINE).read_until(b'\n', &mut line).await {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => {
                    terminal::print_error(&format!("log interrupted: {error}"));
                    return true;
                }
            }
            if !terminal::print(&format!("{}\n", sanitize_log_line(&String::from_utf8_lossy(&line)))) {
                return false;
            }
        }
    }
}
