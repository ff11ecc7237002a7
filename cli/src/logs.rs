//! `kubectl cnbi logs`: what the steps of a run write, task after task, in the order in which they run.
//!
//! Nothing that they write is obeyed by the terminal; see [`super::terminal`].

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use cnbi_shared::api::CustomNBImage;
use futures::{AsyncBufReadExt as _, AsyncReadExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, LogParams};

use super::connection::{ClusterArgs, Connection, Problem, block_on};
use super::runs::{self, State, Step, TaskRun};
use super::status::{one, resources};
use super::terminal::{self, safe, safe_line, styled, styles};
use super::{DONE, UNUSABLE, give_up};

/// How often it is looked whether more has begun.
const POLL: Duration = Duration::from_secs(1);

/// Most bytes of one line; what is longer is told in several.
const LINE: u64 = 16 * 1024;

const EXAMPLES: &str = "\
Examples:
  # everything that the run has written so far
  kubectl cnbi logs pandas-notebook

  # and what it goes on to write, until the run ends
  kubectl cnbi logs pandas-notebook -f

Exit status:
  0  what there is was told
  2  nothing could be told";

/// Print what the steps of a build write, in order
///
/// Of the run that the status names. Pods of runs that have ended may be deleted, and their logs with them; of a failed run
/// the log of the task that failed stays.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct LogsArgs {
    /// Name of a CustomNBImage
    pub name: String,

    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// Go on until the run ends
    #[arg(short, long)]
    pub follow: bool,

    /// Only this task of the run, such as build
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,

    /// Only so many lines of each step, the last ones
    #[arg(long, value_name = "LINES")]
    pub tail: Option<u32>,
}

/// Prints them. The exit status.
pub fn run(args: &LogsArgs) -> u8 {
    let task = async {
        let connection = args.cluster.connect().await?;
        Reader {
            connection: &connection,
            args,
            told: BTreeSet::new(),
            has_told: false,
        }
        .run()
        .await
    };
    block_on(task).unwrap_or_else(|problem| give_up(&problem))
}

struct Reader<'a> {
    connection: &'a Connection,
    args: &'a LogsArgs,
    /// Tasks and containers that have been told to their end.
    told: BTreeSet<(String, String)>,
    has_told: bool,
}

/// Whether somebody still reads.
type Goes = bool;

impl Reader<'_> {
    async fn run(mut self) -> Result<u8, Problem> {
        let client = &self.connection.client;
        let resource = one(self.connection, &self.args.name).await?;
        let (namespace, name) = self.until_run(resource).await?;
        loop {
            // Asked first: what began before the end is in the list that is read afterwards.
            let is_over = !self.args.follow || self.is_over(&name).await?;
            let tasks = runs::of_run(client, &namespace, &name)
                .await
                .map_err(|why| Problem(format!("run {namespace}/{name}: {why}")))?;
            let tasks = tasks.iter().filter(|task| self.is_wanted(task));
            for task in tasks.collect::<Vec<_>>() {
                if !self.tell(&namespace, task).await? {
                    return Ok(DONE);
                }
            }
            if is_over {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        if !self.has_told {
            terminal::complain(&format!("run {namespace}/{name} has no logs to show"));
            return Ok(UNUSABLE);
        }
        Ok(DONE)
    }

    fn is_wanted(&self, task: &TaskRun) -> bool {
        self.args.task.as_ref().is_none_or(|wanted| *wanted == task.task)
    }

    /// The run's namespace and name; with `-f`, once there is one.
    async fn until_run(&self, mut resource: CustomNBImage) -> Result<(String, String), Problem> {
        loop {
            let run = resource.status.as_ref().and_then(|status| status.pipeline_run.as_ref());
            if let Some((namespace, name)) = run.and_then(|run| Some((run.namespace.clone()?, run.name.clone()?))) {
                return Ok((namespace, name));
            }
            let is_failed = resource.status.as_ref().and_then(|status| status.phase)
                == Some(cnbi_shared::api::status::Phase::Failed);
            if !self.args.follow || is_failed {
                return Err(Problem(format!(
                    "there is no run of {name} yet; why: kubectl cnbi status {name} -n {}",
                    self.connection.namespace,
                    name = self.args.name
                )));
            }
            tokio::time::sleep(POLL).await;
            resource = one(self.connection, &self.args.name).await?;
        }
    }

    /// Whether the run has ended, as far as the status tells.
    async fn is_over(&self, run: &str) -> Result<bool, Problem> {
        let resource = resources(self.connection, false)
            .get_opt(&self.args.name)
            .await
            .map_err(|error| Problem::of(&self.args.name, &error))?;
        let status = resource.and_then(|resource| resource.status);
        Ok(status
            .and_then(|status| status.pipeline_run)
            .is_none_or(|now| now.name.as_deref() != Some(run) || now.completion_time.is_some()))
    }

    async fn tell(&mut self, namespace: &str, task: &TaskRun) -> Result<Goes, Problem> {
        for step in &task.steps {
            let key = (task.task.clone(), step.container.clone());
            if step.state == State::Waiting || self.told.contains(&key) {
                continue;
            }
            let Some(pod) = &task.pod else { continue };
            let title = format!("--- {}, step {}", safe(&task.task), safe(&step.name));
            if !terminal::print(&format!("{}\n", styled(styles::TITLE, &title))) {
                return Ok(false);
            }
            if !self.stream(namespace, pod, step).await {
                return Ok(false);
            }
            self.told.insert(key);
        }
        Ok(true)
    }

    async fn stream(&mut self, namespace: &str, pod: &str, step: &Step) -> Goes {
        let pods: Api<Pod> = Api::namespaced(Client::clone(&self.connection.client), namespace);
        let params = LogParams {
            container: Some(step.container.clone()),
            // What has ended is not waited for.
            follow: self.args.follow && step.state == State::Running,
            tail_lines: self.args.tail.map(i64::from),
            ..LogParams::default()
        };
        let stream = match pods.log_stream(pod, &params).await {
            Ok(stream) => stream,
            Err(error) => {
                terminal::complain(&runs::unread(&error, namespace, pod));
                return true;
            }
        };
        self.has_told = true;
        let mut stream = pin!(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            // One line may be as long as the log, and is not kept whole.
            match (&mut stream).take(LINE).read_until(b'\n', &mut line).await {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => {
                    terminal::complain(&format!("the log breaks off: {error}"));
                    return true;
                }
            }
            if !terminal::print(&format!("{}\n", safe_line(&String::from_utf8_lossy(&line)))) {
                return false;
            }
        }
    }
}
