//! Supervision of long-running tasks: a task that ends unexpectedly ends the process.
//!
//! Without it, a server would keep serving while, for example, nothing renews its certificate. Kubernetes restarts the
//! container.

use std::collections::HashMap;
use std::fmt;

use tokio::task::{Id, JoinError, JoinSet};

use crate::Error;
use crate::args::CommonArgs;
use crate::logging::panic_text;

/// The supervised tasks of a program.
#[derive(Debug, Default)]
pub struct Tasks {
    running: JoinSet<Result<(), Error>>,
    names: HashMap<Id, &'static str>,
    #[cfg(debug_assertions)]
    panic_in: Option<String>,
}

/// A task that ended although it should still run.
#[derive(Debug)]
pub struct UnexpectedEnd {
    /// Name of the task.
    pub task: &'static str,
    /// How it ended.
    pub end: End,
}

/// How a task ended.
#[derive(Debug)]
pub enum End {
    /// It returned without an error.
    Returned,
    /// It returned this error.
    Failed(Error),
    /// It panicked with this message, which is escaped.
    Panicked(String),
}

impl std::error::Error for UnexpectedEnd {}

impl fmt::Display for UnexpectedEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "task {} ", self.task)?;
        match &self.end {
            End::Returned => formatter.write_str("ended unexpectedly"),
            End::Failed(error) => write!(formatter, "failed: {error}"),
            End::Panicked(message) => write!(formatter, "panicked: {message}"),
        }
    }
}

impl Tasks {
    /// No tasks yet.
    #[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "the flag is for tests"))]
    pub fn new(args: &CommonArgs) -> Self {
        Self {
            #[cfg(debug_assertions)]
            panic_in: args.panic_in_task.clone(),
            ..Self::default()
        }
    }

    /// Starts a task that runs until the process shuts down.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_fallible(name, async {
            task.await;
            Ok(())
        });
    }

    /// Starts a task that runs until the process shuts down, and may fail.
    ///
    /// # Panics
    /// Never by itself; in debug builds, `--panic-in-task` makes the named task panic.
    pub fn spawn_fallible(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) {
        #[cfg(debug_assertions)]
        if self.panic_in.as_deref() == Some(name) {
            let panic = async {
                tokio::time::sleep(std::time::Duration::from_secs(2)).await;
                panic!("requested by --panic-in-task");
            };
            let handle = self.running.spawn(async {
                tokio::select! { result = task => result, () = panic => Ok(()) }
            });
            self.names.insert(handle.id(), name);
            return;
        }
        let handle = self.running.spawn(task);
        self.names.insert(handle.id(), name);
    }

    /// Watches all tasks until `shutdown` completes.
    ///
    /// # Errors
    /// A task ended before that.
    pub async fn supervise(&mut self, shutdown: impl Future<Output = ()>) -> Result<(), UnexpectedEnd> {
        tracing::debug!(tasks = ?self.names(), "supervising tasks");
        tokio::select! {
            // `shutdown` comes first: tasks may end as soon as it has completed.
            biased;
            () = shutdown => Ok(()),
            Some((task, end)) = self.next_end() => Err(UnexpectedEnd { task, end }),
        }
    }

    /// Waits during a shutdown until the task of that name has ended, if it still runs. Other tasks may end too.
    ///
    /// # Errors
    /// The first task that failed or panicked.
    pub async fn finish(&mut self, name: &str) -> Result<(), UnexpectedEnd> {
        let mut result = Ok(());
        while self.names.values().any(|running| *running == name)
            && let Some((task, end)) = self.next_end().await
        {
            if !matches!(end, End::Returned) && result.is_ok() {
                result = Err(UnexpectedEnd { task, end });
            }
        }
        result
    }

    /// Names of the tasks that run, sorted.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.names.values().copied().collect();
        names.sort_unstable();
        names
    }

    async fn next_end(&mut self) -> Option<(&'static str, End)> {
        let (id, end) = match self.running.join_next_with_id().await? {
            Ok((id, Ok(()))) => (id, End::Returned),
            Ok((id, Err(error))) => (id, End::Failed(error)),
            Err(error) => (error.id(), panicked(error)),
        };
        Some((self.names.remove(&id).unwrap_or("unknown"), end))
    }
}

fn panicked(error: JoinError) -> End {
    End::Panicked(match error.try_into_panic() {
        Ok(panic) => panic_text(&*panic),
        Err(error) => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    async fn unexpected_end(task: impl Future<Output = Result<(), Error>> + Send + 'static) -> String {
        let mut tasks = Tasks::default();
        tasks.spawn("endless", pending());
        tasks.spawn_fallible("short", task);
        tasks.supervise(pending()).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_task_that_returns_is_reported() {
        assert_eq!(unexpected_end(async { Ok(()) }).await, "task short ended unexpectedly");
    }

    #[tokio::test]
    async fn a_task_that_fails_is_reported_with_its_error() {
        assert_eq!(
            unexpected_end(async { Err("no lease".into()) }).await,
            "task short failed: no lease"
        );
    }

    #[tokio::test]
    async fn a_task_that_panics_is_reported_with_its_message_escaped() {
        let end = unexpected_end(async { panic!("user text \u{1b}[31m") }).await;
        assert_eq!(end, r"task short panicked: user text \u{1b}[31m");
    }

    #[tokio::test]
    async fn tasks_may_end_once_shutdown_has_begun() {
        let mut tasks = Tasks::default();
        tasks.spawn("server", async {});
        tasks.spawn("endless", pending());
        tokio::task::yield_now().await;
        tasks.supervise(async {}).await.unwrap();
        tasks.finish("server").await.unwrap();
        assert_eq!(tasks.names(), ["endless"]);
        tasks.finish("server").await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_during_shutdown_is_an_error() {
        let mut tasks = Tasks::default();
        tasks.spawn("server", async { panic!("late") });
        let error = tasks.finish("server").await.unwrap_err();
        assert_eq!(error.to_string(), "task server panicked: late");
    }
}
