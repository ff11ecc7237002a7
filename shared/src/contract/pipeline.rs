//! Types that describe a Pipeline: tasks, parameters, workspaces and results. `tables.rs` has the values.

use super::{ConditionType, Reason};
use crate::api::BuildType;
use crate::api::status::Step;

/// Maximum number of characters of one item of an encoded parameter. The kernel limits arguments to 128 KiB.
pub const CHUNK_MAX: usize = 96 * 1024;

/// The service account of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Runs only programs of CNBi, with credentials.
    Trusted,
    /// Runs user code: no token, no credentials, and its results are untrusted input.
    Untrusted,
}

/// One task of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Name in the pipeline.
    pub name: &'static str,
    /// Service account.
    pub trust: Trust,
    /// The state of the build while it runs.
    pub step: Step,
    /// The condition that reports its failure, unless the reason has its own condition.
    pub condition: ConditionType,
    /// The reason of a failure without a reported reason.
    pub default_reason: Reason,
    /// The reasons that it may report. Others are ignored.
    pub reasons: &'static [Reason],
    /// Its results besides `reason` and `message`.
    pub results: &'static [&'static str],
}

/// The form of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// A name, number or tag: nothing that Tekton or the kubelet would expand.
    Plain,
    /// Base64 of JSON, split into items of at most [`CHUNK_MAX`] characters.
    Encoded,
}

/// A parameter of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Its form.
    pub kind: ParamKind,
}

/// The volume of a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkspaceKind {
    /// An optional Secret.
    OptionalSecret,
    /// An optional ConfigMap.
    OptionalConfigMap,
    /// A volume of the PipelineRun.
    Volume,
}

/// A workspace of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Its name.
    pub name: &'static str,
    /// Its volume.
    pub kind: WorkspaceKind,
}

/// One of the three Pipelines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Its name, in the build namespace.
    pub name: &'static str,
    /// Its build type.
    pub build_type: BuildType,
    /// Its tasks, in order.
    pub tasks: &'static [Task],
    /// Its finally tasks.
    pub finally: &'static [Task],
    /// Its parameters, without defaults.
    pub params: &'static [Param],
    /// Its workspaces.
    pub workspaces: &'static [Workspace],
    /// Its results on success.
    pub results: &'static [&'static str],
}

impl Pipeline {
    /// All tasks, the finally tasks last.
    pub fn all_tasks(&self) -> impl DoubleEndedIterator<Item = &'static Task> {
        self.tasks.iter().chain(self.finally)
    }

    /// The task with this name.
    pub fn task(&self, name: &str) -> Option<&'static Task> {
        self.all_tasks().find(|task| task.name == name)
    }

    /// Whether it declares the workspace.
    pub fn has_workspace(&self, name: &str) -> bool {
        self.workspaces.iter().any(|workspace| workspace.name == name)
    }
}
