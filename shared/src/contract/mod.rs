//! What the controller and the pipelines have agreed on: names of pipelines, tasks, parameters, workspaces and results,
//! and what each reason of a failure means.
//!
//! Both sides and their tests read these tables, so neither can drift. Nothing here makes a run or writes a status.

mod condition;
mod names;
mod pipeline;
mod reason;
mod sent;
mod tables;

pub use condition::{APPLY_TO_ALL, ConditionType};
pub use names::{params, results, tasks, workspaces};
pub use pipeline::{CHUNK, Param, ParamKind, Pipeline, Task, Trust, Workspace, WorkspaceKind};
pub use reason::{REASONS, Reason, Speaks};
pub use sent::{BuildRequest, Settings};
pub use tables::{GIT_REPOSITORY, IMPORT, PACKAGE_LIST, PIPELINES, of};

#[cfg(test)]
mod tests;
