//! What there is to say of a Pipeline: its tasks, parameters, workspaces and results. Which there are stands in `tables.rs`.

use super::{ConditionType, Reason};
use crate::api::BuildType;
use crate::api::status::Step;

/// Most characters of one item of an encoded parameter. The kernel takes arguments of 128 KiB.
pub const CHUNK: usize = 96 * 1024;

/// Which sort of service account a task runs under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Runs our own programs only, with the credentials that it needs.
    Trusted,
    /// Runs what a user wrote: no token and no credential in reach, and what it reports is hostile.
    Untrusted,
}

/// One task of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its name in the pipeline.
    pub name: &'static str,
    /// Which account it runs under.
    pub trust: Trust,
    /// The state of the build while it runs.
    pub step: Step,
    /// The condition that its failure is told in, where the reason does not say otherwise.
    pub condition: ConditionType,
    /// The reason of a failure for which the task gives none.
    pub default: Reason,
    /// The reasons that it may give. Others are not believed.
    pub reasons: &'static [Reason],
    /// What it reports beside [`results::REASON`] and [`results::MESSAGE`].
    pub results: &'static [&'static str],
}

/// How a parameter is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// A value that cannot hold anything that Tekton or the kubelet would expand: a name, a number, a tag.
    Plain,
    /// Base64 of JSON, cut into items of at most [`CHUNK`] characters; together they are one text.
    Encoded,
}

/// A parameter of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// How it is filled.
    pub kind: ParamKind,
}

/// What a workspace is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkspaceKind {
    /// A Secret; not bound where there is none, so the pipeline declares it optional.
    OptionalSecret,
    /// A ConfigMap; not bound where there is none, so the pipeline declares it optional.
    OptionalConfigMap,
    /// A volume that belongs to the run.
    Volume,
}

/// A workspace of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Its name.
    pub name: &'static str,
    /// What it is bound to.
    pub kind: WorkspaceKind,
}

/// One of the three Pipelines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Its name, in the build namespace.
    pub name: &'static str,
    /// Whom it serves.
    pub build_type: BuildType,
    /// Its tasks, in order.
    pub tasks: &'static [Task],
    /// What runs at the end, whatever has come of the tasks.
    pub finally: &'static [Task],
    /// Its parameters. None has a default.
    pub params: &'static [Param],
    /// Its workspaces.
    pub workspaces: &'static [Workspace],
    /// What it reports when it succeeds.
    pub results: &'static [&'static str],
}

impl Pipeline {
    /// All its tasks, those at the end last.
    pub fn all_tasks(&self) -> impl DoubleEndedIterator<Item = &'static Task> {
        self.tasks.iter().chain(self.finally)
    }

    /// The task of that name.
    pub fn task(&self, name: &str) -> Option<&'static Task> {
        self.all_tasks().find(|task| task.name == name)
    }

    /// Whether it takes that workspace.
    pub fn has_workspace(&self, name: &str) -> bool {
        self.workspaces.iter().any(|workspace| workspace.name == name)
    }
}
